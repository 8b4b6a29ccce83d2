/**
 * Elections: when a member campaigns, whom it asks, how it answers when asked, and how a candidate counts. With pre-vote a campaign
 * has two rounds; the first promises nothing and raises no term, so a member that was cut off cannot disturb those that were not
 * (Raft thesis 9.6).
 */
import { formatId, noMember } from '@quorate/base';
import type { Message } from '@quorate/proto';
import { jointIds, VoteResult } from './quorum.ts';
import type { Raft } from './raft.ts';
import { broadcastAppend } from './replication.ts';
import { emptyBytes, MessageType, newMessage, Role } from './types.ts';

/** Kinds of campaign: the asking round of a pre-vote, a real one, and one the present leader ordered. */
export const Campaign = { preElection: 0, election: 1, transfer: 2 } as const;
export type Campaign = (typeof Campaign)[keyof typeof Campaign];

/** Context of vote requests that the present leader ordered: members grant them although they heard from it just now. */
export const campaignTransferContext: Buffer = Buffer.from('CampaignTransfer');

/** Starts a campaign, unless this member cannot or must not lead. */
export function hup(raft: Raft, campaign: Campaign): void {
  const { logger } = raft;
  if (raft.role === Role.leader) {
    logger.debug('already leader, no campaign');
    return;
  }
  if (!raft.promotable) {
    logger.warn('cannot campaign: not a voter, or waiting for a snapshot');
    return;
  }
  // Its idea of who votes may be out of date.
  if (raft.log.hasUnappliedConfChange()) {
    logger.warn('cannot campaign: a configuration change is committed and not applied', { term: raft.term });
    return;
  }
  logger.info('starting an election', { term: raft.term });
  startCampaign(raft, campaign);
}

function startCampaign(raft: Raft, campaign: Campaign): void {
  const asking = campaign === Campaign.preElection;
  if (asking) raft.becomePreCandidate();
  else raft.becomeCandidate();
  // The asking round is about the term that would come next.
  const term = asking ? raft.term + 1 : raft.term;
  const index = raft.log.lastIndex();
  const logTerm = raft.log.lastTerm();
  for (const id of jointIds(raft.tracker.membership.voters)) {
    if (id === raft.id) {
      // The own vote counts once it is on disk, so it travels as an answer like the others'.
      const vote = newMessage(asking ? MessageType.MSG_PRE_VOTE_RESP : MessageType.MSG_VOTE_RESP, id);
      vote.term = term;
      raft.send(vote);
      continue;
    }
    const request = newMessage(asking ? MessageType.MSG_PRE_VOTE : MessageType.MSG_VOTE, id);
    request.term = term;
    request.index = index;
    request.logTerm = logTerm;
    request.context = campaign === Campaign.transfer ? campaignTransferContext : emptyBytes;
    raft.send(request);
    raft.logger.info('asked for a vote', { to: formatId(id), term, index, logTerm });
  }
}

/**
 * Answers a request for a vote or pre-vote. Asking whether the candidate is in our configuration would be wrong, and so would be
 * refusing as a learner: a member may be a voter before it learns of it, and its vote may be needed to get there.
 */
export function handleVoteRequest(raft: Raft, message: Message): void {
  const preVote = message.type === MessageType.MSG_PRE_VOTE;
  const { index, logTerm, from } = message;
  const free =
    raft.vote === from || (raft.vote === noMember && raft.leader === noMember) || (preVote && message.term > raft.term);
  if (!free || !raft.log.isUpToDate({ index, term: logTerm })) {
    refuseVote(raft, message);
    return;
  }
  const response = newMessage(preVote ? MessageType.MSG_PRE_VOTE_RESP : MessageType.MSG_VOTE_RESP, from);
  // The term asked for; for a pre-vote that is not ours.
  response.term = message.term;
  raft.send(response);
  raft.logger.info('granted a vote', { to: formatId(from), term: message.term, preVote });
  if (preVote) return;
  raft.electionElapsed = 0;
  raft.vote = from;
}

/** Refuses a request for a vote or pre-vote, naming our term and what we know to be committed. */
export function refuseVote(raft: Raft, message: Message): void {
  const preVote = message.type === MessageType.MSG_PRE_VOTE;
  const response = newMessage(preVote ? MessageType.MSG_PRE_VOTE_RESP : MessageType.MSG_VOTE_RESP, message.from);
  response.term = raft.term;
  response.reject = true;
  response.context = commitProof(raft);
  raft.send(response);
  raft.logger.info('refused a vote', { to: formatId(message.from), term: message.term, preVote });
}

/** Bytes of an index or a term in a commit proof. */
const numberBytes = 6;

/** Index and term of the last entry known to be committed, for a candidate that is refused. */
function commitProof(raft: Raft): Buffer {
  const { committed } = raft.log;
  const proof = Buffer.allocUnsafe(2 * numberBytes);
  proof.writeUIntBE(committed, 0, numberBytes);
  proof.writeUIntBE(raft.log.term(committed) ?? 0, numberBytes, numberBytes);
  return proof;
}

/**
 * Takes over the commit index that a refusal brings, if our log has that entry: what is committed is so in any term. It matters when
 * the one who refuses was removed or demoted, and has a longer log, and the candidate lacks nothing but the knowledge that this
 * change is committed: it would ask for a vote it does not need, and never get it. A change learned this way must be applied
 * before this member can know whose votes count.
 */
export function learnCommit(raft: Raft, proof: Buffer): void {
  if (raft.role === Role.leader || proof.length !== 2 * numberBytes) return;
  const index = proof.readUIntBE(0, numberBytes);
  const term = proof.readUIntBE(numberBytes, numberBytes);
  if (!raft.log.maybeCommit(index, term) || raft.role === Role.follower) return;
  if (raft.log.hasUnappliedConfChange()) raft.becomeFollower(raft.term, noMember);
}

/** Counts an answer to this candidate's request; moves on when the vote is decided. */
export function countVote(raft: Raft, message: Message): void {
  raft.tracker.recordVote(message.from, !message.reject);
  const { granted, rejected, result } = raft.tracker.tallyVotes();
  raft.logger.info('received a vote', { from: formatId(message.from), granted, rejected });
  if (result === VoteResult.lost) {
    // The term of a pre-vote's answer may lie ahead; ours stays.
    raft.becomeFollower(raft.term, noMember);
  } else if (result === VoteResult.won) {
    if (raft.role === Role.preCandidate) {
      startCampaign(raft, Campaign.election);
    } else {
      raft.becomeLeader();
      broadcastAppend(raft);
    }
  }
}
