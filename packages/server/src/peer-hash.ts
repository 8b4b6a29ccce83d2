/** Answers members that compare themselves with this one. */
import { HashAnswer, KvError } from '@quorate/proto';
import type { HashQuestion } from './peer-transport.ts';
import type { StateMachine } from './state-machine.ts';

/** Rejects only with what must end the process anyway. */
export async function answerHash(state: () => StateMachine, ask: HashQuestion): Promise<HashAnswer> {
  try {
    const { store, compactionHashes } = state();
    const found = ask.ofCompaction ? compactionHashes?.get(ask.revision) : await store.hashKv(ask.revision);
    if (found === undefined) return HashAnswer.create({ error: 'no hash is kept of that compaction' });
    return HashAnswer.create({ ...found, revision: store.currentRevision });
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    return HashAnswer.create({ error: error.message });
  }
}
