/**
 * What a sequence is made of: operations as plain data, so that they can be drawn, shrunk and printed. Whatever depends on the
 * state of a server - revisions, ids it picked - is written relative to it, and becomes a request only when it is played.
 */

/** Keys and values: one character per byte. */
export type Text = string;

/** A revision, relative to what the server said last. */
export type RevisionRef =
  | { readonly at: 'none' }
  | { readonly at: 'current' | 'start' | 'compacted'; readonly plus: number }
  | { readonly at: 'absolute'; readonly revision: number };

/** `named`: an id from a fixed list that the client chooses; `picked`: the n-th that the server picked, modulo their number. */
export type LeaseRef =
  | { readonly of: 'none' | 'unknown' }
  | { readonly of: 'named' | 'picked'; readonly index: number };

export interface Span {
  readonly key: Text;
  readonly end: Text;
}

export interface RangeOp extends Span {
  readonly kind: 'range';
  readonly revision: RevisionRef;
  readonly limit: number;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minMod: RevisionRef;
  readonly maxMod: RevisionRef;
  readonly minCreate: RevisionRef;
  readonly maxCreate: RevisionRef;
}

export interface PutOp {
  readonly kind: 'put';
  readonly key: Text;
  readonly value: Text;
  readonly lease: LeaseRef;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteOp extends Span {
  readonly kind: 'delete';
  readonly prevKv: boolean;
}

/** What a condition holds its target against. Its kind need not be that of the target. */
export type Operand =
  | { readonly of: 'version'; readonly version: number }
  | { readonly of: 'create' | 'mod'; readonly revision: RevisionRef }
  | { readonly of: 'value'; readonly value: Text }
  | { readonly of: 'lease'; readonly lease: LeaseRef }
  | { readonly of: 'nothing' };

export interface Condition extends Span {
  readonly result: number;
  readonly target: number;
  readonly operand: Operand;
}

export interface TxnOp {
  readonly kind: 'txn';
  readonly compare: readonly Condition[];
  readonly success: readonly InnerOp[];
  readonly failure: readonly InnerOp[];
}

/** `empty`: an operation in which nothing is set. */
export type InnerOp = RangeOp | PutOp | DeleteOp | TxnOp | { readonly kind: 'empty' };

export interface WatchOp extends Span {
  readonly kind: 'watch';
  readonly stream: number;
  readonly id: number;
  readonly start: RevisionRef;
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

/** Bytes that are no message of the method's type. */
export interface MalformedOp {
  readonly kind: 'malformed';
  readonly method: string;
  readonly bytes: Text;
}

/** Calls of the Lock and Election services that need not wait for anybody. */
export type RecipeOp =
  | { readonly kind: 'lock'; readonly lease: LeaseRef }
  | { readonly kind: 'unlock' }
  | { readonly kind: 'campaign'; readonly lease: LeaseRef; readonly value: Text }
  | { readonly kind: 'leader' }
  /** `by`: the leader of the last campaign, the same with another revision, or none at all. */
  | { readonly kind: 'proclaim'; readonly by: 'last' | 'stale' | 'none'; readonly value: Text }
  | { readonly kind: 'resign'; readonly by: 'last' | 'stale' | 'none' };

export type Operation =
  | RecipeOp
  | RangeOp
  | PutOp
  | DeleteOp
  | TxnOp
  | WatchOp
  | MalformedOp
  | { readonly kind: 'compact'; readonly revision: RevisionRef; readonly physical: boolean }
  | { readonly kind: 'big put'; readonly valueBytes: number }
  | { readonly kind: 'big txn'; readonly opsCount: number; readonly depth: number }
  | { readonly kind: 'grant'; readonly lease: LeaseRef; readonly ttl: number }
  | { readonly kind: 'revoke'; readonly lease: LeaseRef }
  | { readonly kind: 'keep alive'; readonly lease: LeaseRef }
  | { readonly kind: 'time to live'; readonly lease: LeaseRef; readonly keys: boolean }
  | { readonly kind: 'leases' }
  | { readonly kind: 'unwatch'; readonly stream: number; readonly watch: number }
  | { readonly kind: 'progress'; readonly stream: number }
  | { readonly kind: 'hash'; readonly revision: RevisionRef }
  | { readonly kind: 'status' }
  | { readonly kind: 'members'; readonly linearizable: boolean }
  | {
      readonly kind: 'alarm';
      readonly action: number;
      readonly member: 'own' | 'none' | 'unknown';
      readonly alarm: number;
    }
  | { readonly kind: 'move leader'; readonly target: 'own' | 'none' | 'unknown' }
  | { readonly kind: 'unknown method'; readonly path: string };

/** A sequence. Operations that shrinking took out are undefined. */
export interface Sequence {
  /** Whether every event is waited for before the next operation, so that even the cut into responses can be compared. */
  readonly patient: boolean;
  readonly operations: readonly (Operation | undefined)[];
}

/** Ids that clients choose for leases, as unsigned 64 bits: small, large, negative. */
export const namedLeases: readonly bigint[] = [7n, 0x7fff_ffff_ffff_fffen, 0xffff_ffff_ffff_fff0n, 4_611_686n];
/** An id that no lease has. */
export const unknownLease = 424_242n;
/** An id that no member has. */
export const unknownMember = 99n;

/** `--max-txn-ops` of both servers: small, so that the limit is met. */
export const txnOpsMax = 12;
/** `--max-request-bytes` of both servers. */
export const requestBytesMax: number = 64 * 1024;
