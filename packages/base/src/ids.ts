/**
 * Identities. Clients and peers may send any 64 bits, so ids are bigint everywhere: compared with ===, used as Map keys,
 * printed in hex without padding as etcd prints them.
 */

/** Identity of a member; 0n means none. */
export type MemberId = bigint;
/** Identity of a cluster. */
export type ClusterId = bigint;
/** Identity of a lease, as unsigned 64 bits; 0n means no lease. */
export type LeaseId = bigint;
/** Identity of a watcher on one stream (signed 64 bits on the wire). */
export type WatchId = bigint;

/** No member: an unknown leader, a vote not cast. */
export const noMember: MemberId = 0n;
/** No lease attached. */
export const noLease: LeaseId = 0n;

/** Hex without padding, two's complement for negative values: the way etcd prints ids. */
export function formatId(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** Reads what {@link formatId} prints; undefined when the text is not 1 to 16 hex digits. */
export function parseId(text: string): bigint | undefined {
  return /^[0-9a-fA-F]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;
}
