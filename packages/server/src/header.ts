/**
 * The response header of this member: cluster id, member id and term change rarely, so they are encoded once and the revision is
 * appended per answer.
 */
import type { ClusterId, MemberId } from '@quorate/base';
import { encodeHeaderPrefix, type HeaderPrefix, ResponseHeader } from '@quorate/proto';

export class HeaderSource {
  readonly #clusterId: ClusterId;
  readonly #memberId: MemberId;
  #term = 0;
  #prefix: HeaderPrefix;
  #last: ResponseHeader;

  constructor(clusterId: ClusterId, memberId: MemberId) {
    this.#clusterId = clusterId;
    this.#memberId = memberId;
    this.#prefix = encodeHeaderPrefix({ clusterId, memberId, raftTerm: 0 });
    this.#last = this.#make(0);
  }

  /** Encoded header but for the revision. */
  prefix(): HeaderPrefix {
    return this.#prefix;
  }

  /** A header with `revision`, one and the same while nothing changes; 0 leaves it out, as the Cluster service does. */
  header(revision: number): ResponseHeader {
    if (this.#last.revision !== revision || this.#last.raftTerm !== this.#term) this.#last = this.#make(revision);
    return this.#last;
  }

  termChanged(term: number): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#prefix = encodeHeaderPrefix({ clusterId: this.#clusterId, memberId: this.#memberId, raftTerm: term });
  }

  #make(revision: number): ResponseHeader {
    return ResponseHeader.create({
      clusterId: this.#clusterId,
      memberId: this.#memberId,
      revision,
      raftTerm: this.#term,
    });
  }
}
