/** Answers of the log to callers: from a proposal's outcome to the reply of a call, or to a promise. */
import type { ApplyResult } from '@quorate/apply';
import { KvError } from '@quorate/proto';
import type { Reply } from '@quorate/rpc';
import type { ProposalDone } from './proposals.ts';

/** Runs `propose` and answers `reply` with what comes of it; a refusal thrown by `propose` is an answer too. */
export function answerProposal(reply: Reply<unknown>, propose: (done: ProposalDone) => void): void {
  try {
    propose((outcome) => answer(reply, outcome));
  } catch (error) {
    reply.fail(error);
  }
}

/** What came of a proposal, to its caller. */
export function answer(reply: Reply<unknown>, outcome: ApplyResult | KvError): void {
  if (outcome instanceof KvError) reply.fail(outcome);
  else if (reply.takesMessages === true && outcome.message !== undefined) reply.ok(outcome.message);
  else reply.encoded(outcome.response);
}
