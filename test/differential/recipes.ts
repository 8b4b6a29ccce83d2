/**
 * Locks and elections of a sequence at one server. Nobody waits here: a lock or an election that somebody else holds is not asked
 * for, because nothing else is played meanwhile.
 */
import {
  CampaignRequest,
  type CampaignResponse,
  type LeaderKey,
  LeaderRequest,
  LockRequest,
  type LockResponse,
  ProclaimRequest,
  RangeRequest,
  ResignRequest,
  services,
  UnlockRequest,
} from '@quorate/proto';
import type { RecipeOp } from './operations.ts';
import { bytesOf, type Meaning } from './requests.ts';
import type { Call } from './server-side.ts';

const { lock, unlock } = services.lock.methods;
const election = services.election.methods;
const lockName = 'l';
const electionName = 'e';

export class Recipes {
  readonly #call: Call;
  readonly #meaning: Meaning;
  #lockKey: Buffer | undefined;
  #leader: LeaderKey | undefined;

  constructor(call: Call, meaning: Meaning) {
    this.#call = call;
    this.#meaning = meaning;
  }

  /** Forgets what is held. */
  reset(): void {
    this.#lockKey = undefined;
    this.#leader = undefined;
  }

  async play(op: RecipeOp): Promise<string> {
    switch (op.kind) {
      case 'lock':
        return this.#lock(this.#meaning.lease(op.lease));
      case 'unlock': {
        const key = this.#lockKey ?? bytesOf('nothing');
        return (await this.#call(unlock, UnlockRequest.create({ key }))).text;
      }
      case 'campaign':
        return this.#campaign(this.#meaning.lease(op.lease), bytesOf(op.value));
      case 'leader':
        return (await this.#call(election.leader, LeaderRequest.create({ name: bytesOf(electionName) }))).text;
      case 'proclaim': {
        const request = ProclaimRequest.create({ leader: this.#leaderBy(op.by), value: bytesOf(op.value) });
        return (await this.#call(election.proclaim, request)).text;
      }
      default:
        return (await this.#call(election.resign, ResignRequest.create({ leader: this.#leaderBy(op.by) }))).text;
    }
  }

  async #lock(lease: bigint): Promise<string> {
    if (await this.#isHeld(lockName, lease)) return 'not asked';
    const { response, text } = await this.#call(lock, LockRequest.create({ name: bytesOf(lockName), lease }));
    this.#lockKey = (response as LockResponse | undefined)?.key ?? this.#lockKey;
    return text;
  }

  async #campaign(lease: bigint, value: Buffer): Promise<string> {
    if (await this.#isHeld(electionName, lease)) return 'not asked';
    const request = CampaignRequest.create({ name: bytesOf(electionName), lease, value });
    const { response, text } = await this.#call(election.campaign, request);
    this.#leader = (response as CampaignResponse | undefined)?.leader ?? this.#leader;
    return text;
  }

  /** Whether somebody else has a place in the line. */
  async #isHeld(name: string, lease: bigint): Promise<boolean> {
    const request = RangeRequest.create({ key: bytesOf(`${name}/`), rangeEnd: bytesOf(`${name}0`) });
    const { response } = await this.#call(services.kv.methods.range, request);
    const own = bytesOf(`${name}/${BigInt.asIntN(64, lease).toString(16)}`);
    return response?.kvs.some(({ key }) => !key.equals(own)) ?? false;
  }

  #leaderBy(by: 'last' | 'stale' | 'none'): LeaderKey | undefined {
    if (by === 'none' || this.#leader === undefined) return undefined;
    return by === 'last' ? this.#leader : { ...this.#leader, rev: this.#leader.rev - 1 };
  }
}
