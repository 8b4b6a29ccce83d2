/**
 * Ports for the processes of tests. A member that is down leaves its port free for a while, so test files that run beside each other
 * take theirs from different parts of the range. Vitest's pool ids do not tell those files apart: the first two of a project may get
 * the same one (4.1). So whoever listens on the first port of a part has the rest of it, as long as its process lives.
 */
import { createServer, type Server } from 'node:net';

/** Below the range from which the kernel takes ports of outgoing connections: those could take ours while a member is down. */
const from = 20_000;
const partSize = 500;
const parts = 24;

let own: Promise<Ports> | undefined;

/** Ports nobody listens on now. No port is given out twice before all of this process' part were. */
export async function freePorts(count: number): Promise<number[]> {
  own ??= Ports.claim();
  return (await own).take(count);
}

/** A part of the range, nobody else's until it is released. */
export class Ports {
  readonly #claim: Server;
  readonly #first: number;
  #next: number;

  private constructor(claim: Server, first: number) {
    this.#claim = claim;
    this.#first = first;
    this.#next = first + Math.floor(Math.random() * partSize);
  }

  /** Any part that is not claimed; throws when all are. */
  static async claim(): Promise<Ports> {
    const random = Math.floor(Math.random() * parts);
    for (let i = 0; i < parts; i++) {
      const first = from + ((random + i) % parts) * (partSize + 1) + 1;
      const claim = await listen(first - 1);
      // The process ends when its tests have ended.
      if (claim !== undefined) return new Ports(claim.unref(), first);
    }
    throw new Error(`all ${parts} parts of the ports from ${from} are claimed`);
  }

  async take(count: number): Promise<number[]> {
    const first = this.#first;
    const found: number[] = [];
    for (let looked = 0; found.length < count; looked++) {
      if (looked === partSize) throw new Error(`no ${count} free ports from ${first}`);
      const port = this.#next;
      this.#next = port + 1 < first + partSize ? port + 1 : first;
      const server = await listen(port);
      if (server === undefined) continue;
      found.push(port);
      await close(server);
    }
    return found;
  }

  release(): Promise<void> {
    return close(this.#claim);
  }
}

/** A listener, or undefined when the port is taken. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
