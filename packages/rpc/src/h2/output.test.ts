import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChunkPool, Output } from './output.ts';

test('everything leaves in the order it was given, and memory in use is not used again', () => {
  const part = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 3_000, max: 40_000 }));
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constantFrom('append' as const, 'reserve' as const), size: part }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('flush' as const), size: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, slow) => {
      const pool = new ChunkPool();
      const outputs = [new Output(pool), new Output(pool)];
      const sockets = outputs.map(() => new FakeSocket(slow));
      const expected: Buffer[][] = [[], []];
      steps.forEach(({ op, size }, i) => {
        const which = i % 2;
        const output = outputs[which]!;
        const bytes = Buffer.alloc(size, i + 1);
        if (op === 'flush') {
          output.flush(sockets[which] as unknown as Socket);
          return;
        }
        expected[which]!.push(bytes);
        if (op === 'append') {
          output.append(bytes);
        } else {
          for (let at = 0; at < size; at += 1_000) {
            const count = Math.min(1_000, size - at);
            const to = output.reserve(count);
            output.chunk.fill(i + 1, to, to + count);
          }
        }
      });
      outputs.forEach((output, i) => {
        output.flush(sockets[i] as unknown as Socket);
        expect(output.sizeBytes).toBe(0);
        expect(sockets[i]!.taken().equals(Buffer.concat(expected[i]!))).toBe(true);
      });
    }),
  );
});

/** Takes bytes at once, as a socket whose kernel has room, or keeps referring to them, as one that has to wait. */
class FakeSocket {
  writableLength = 0;
  readonly #slow: boolean;
  readonly #parts: Buffer[] = [];

  constructor(slow: boolean) {
    this.#slow = slow;
  }

  write(bytes: Buffer): boolean {
    this.#parts.push(this.#slow ? bytes : Buffer.from(bytes));
    if (this.#slow) this.writableLength += bytes.length;
    return true;
  }

  cork(): void {}
  uncork(): void {}

  taken(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

test('nothing is written when there is nothing', () => {
  const socket = new PassThrough();
  let writes = 0;
  socket.on('data', () => writes++);
  const output = new Output(new ChunkPool());
  output.flush(socket as unknown as Socket);
  output.append(Buffer.alloc(10));
  output.clear();
  output.flush(socket as unknown as Socket);
  expect(writes).toBe(0);
});
