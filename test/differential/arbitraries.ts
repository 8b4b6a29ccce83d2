/** How sequences are drawn. What is asked of few keys, by many operations, meets often. */
import { AlarmType } from '@quorate/proto';
import fc, { type Arbitrary } from 'fast-check';
import {
  type Condition,
  type DeleteOp,
  type InnerOp,
  type LeaseRef,
  namedLeases,
  type Operand,
  type Operation,
  type PutOp,
  type RangeOp,
  type RevisionRef,
  requestBytesMax,
  type Sequence,
  type Span,
  type Text,
  type TxnOp,
  txnOpsMax,
  type WatchOp,
} from './operations.ts';

const often = 20;

/** True one time in `n`. */
const rarely = (n: number): Arbitrary<boolean> =>
  fc.oneof({ arbitrary: fc.constant(false), weight: n - 1 }, { arbitrary: fc.constant(true), weight: 1 });

/** Mostly the first, which is also what it shrinks to. */
function mostly<T, U>(usual: Arbitrary<T>, odd: Arbitrary<U>, weight: number = often): Arbitrary<T | U> {
  return fc.oneof({ withCrossShrink: true }, { arbitrary: usual, weight }, { arbitrary: odd, weight: 1 });
}

/** With the keys of big puts, of a lock and of an election fewer than thirteen: etcd sorts more than twelve records in no certain order where they are equal. */
const realKey: Arbitrary<Text> = fc.constantFrom('a', 'b', 'c', 'a\0', 'ab', 'abc', '\xff', '\0');
const key: Arbitrary<Text> = mostly(realKey, fc.constant(''), 40);
const value: Arbitrary<Text> = fc.oneof(
  { withCrossShrink: true },
  { arbitrary: fc.constantFrom('x', '', 'y', '\0', 'x\0', '\xff'), weight: 8 },
  { arbitrary: fc.constantFrom('long'.repeat(60), '\u0080'.repeat(200)), weight: 1 },
);

const span: Arbitrary<Span> = fc.oneof(
  { withCrossShrink: true },
  { arbitrary: key.map((one) => ({ key: one, end: '' })), weight: 4 },
  { arbitrary: key.map((one) => ({ key: one, end: '\0' })), weight: 2 },
  { arbitrary: fc.record({ key, end: realKey }), weight: 3 },
  { arbitrary: realKey.map((one) => ({ key: one, end: prefixEnd(one) })), weight: 2 },
  { arbitrary: fc.constant({ key: '\0', end: '\0' }), weight: 3 },
);

/** The last byte that is not 0xff, plus one. */
function prefixEnd(prefix: Text): Text {
  const cut = prefix.replace(/\xff+$/, '');
  return cut === '' ? '\0' : cut.slice(0, -1) + String.fromCharCode(cut.charCodeAt(cut.length - 1) + 1);
}

const none: RevisionRef = { at: 'none' };
const pastRevision: Arbitrary<RevisionRef> = fc.oneof(
  { withCrossShrink: true },
  {
    arbitrary: fc.record({ at: fc.constant('current' as const), plus: fc.integer({ min: -12, max: 0 }) }),
    weight: 6,
  },
  { arbitrary: fc.record({ at: fc.constant('start' as const), plus: fc.integer({ min: 0, max: 12 }) }), weight: 3 },
  { arbitrary: fc.record({ at: fc.constant('compacted' as const), plus: fc.integer({ min: -2, max: 2 }) }), weight: 2 },
);
const oddRevision: Arbitrary<RevisionRef> = fc.oneof(
  fc.record({ at: fc.constant('current' as const), plus: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    at: fc.constant('absolute' as const),
    revision: fc.constantFrom(1, -1, -7, 2 ** 40, Number.MAX_SAFE_INTEGER),
  }),
);
const anyRevision: Arbitrary<RevisionRef> = mostly(pastRevision, oddRevision, 8);
const revision: Arbitrary<RevisionRef> = mostly(fc.constant(none), anyRevision, 1);
const filter: Arbitrary<RevisionRef> = mostly(fc.constant(none), anyRevision, 5);

const namedLease: Arbitrary<LeaseRef> = fc
  .nat({ max: namedLeases.length - 1 })
  .map((index) => ({ of: 'named' as const, index }));
const pickedLease: Arbitrary<LeaseRef> = fc.nat({ max: 3 }).map((index) => ({ of: 'picked' as const, index }));
const noLease: Arbitrary<LeaseRef> = fc.constant({ of: 'none' as const });
const unknown: Arbitrary<LeaseRef> = fc.constant({ of: 'unknown' as const });
/** Picked ones are not attached to keys: the hash of the store would differ with them. */
const leaseOfKey: Arbitrary<LeaseRef> = fc.oneof(
  { withCrossShrink: true },
  { arbitrary: noLease, weight: 12 },
  { arbitrary: namedLease, weight: 9 },
  { arbitrary: unknown, weight: 1 },
);
const anyLease: Arbitrary<LeaseRef> = fc.oneof(
  { arbitrary: namedLease, weight: 8 },
  { arbitrary: pickedLease, weight: 3 },
  { arbitrary: unknown, weight: 1 },
  { arbitrary: noLease, weight: 1 },
);

const sorting = fc.record({ sortOrder: fc.nat({ max: 2 }), sortTarget: fc.nat({ max: 4 }) });
const unknownSorting = fc.constantFrom(
  { sortOrder: 3, sortTarget: 0 },
  { sortOrder: -1, sortTarget: 0 },
  { sortOrder: 0, sortTarget: 5 },
  { sortOrder: 1, sortTarget: -1 },
);

const range: Arbitrary<RangeOp> = fc
  .record({
    span,
    revision,
    limit: mostly(fc.constant(0), fc.integer({ min: -1, max: 6 }), 1),
    sorting: mostly(fc.constant({ sortOrder: 0, sortTarget: 0 }), sorting, 1),
    serializable: fc.boolean(),
    keysOnly: rarely(4),
    countOnly: rarely(6),
    minMod: filter,
    maxMod: filter,
    minCreate: filter,
    maxCreate: filter,
  })
  .map(({ span: { key: from, end }, sorting: sort, ...rest }) => ({ kind: 'range', key: from, end, ...sort, ...rest }));

const unsortableRange: Arbitrary<RangeOp> = fc
  .record({ op: range, sort: unknownSorting })
  .map(({ op, sort }) => ({ ...op, ...sort }));
const unsortableTxn: Arbitrary<TxnOp> = unsortableRange
  .filter(({ key: from }) => from !== '')
  .map((op) => ({ kind: 'txn', compare: [], success: [op], failure: [] }));

const put: Arbitrary<PutOp> = fc
  .record({
    key,
    value,
    lease: leaseOfKey,
    prevKv: fc.boolean(),
    ignoreValue: rarely(8),
    ignoreLease: rarely(8),
    // Most puts that ignore something leave it out, as the rules want it.
    proper: mostly(fc.constant(true), fc.constant(false), 8),
  })
  .map(({ proper, ...op }) => ({
    kind: 'put',
    ...op,
    value: proper && op.ignoreValue ? '' : op.value,
    lease: proper && op.ignoreLease ? ({ of: 'none' } as const) : op.lease,
  }));

const remove: Arbitrary<DeleteOp> = fc
  .record({ span, prevKv: fc.boolean() })
  .map(({ span: { key: from, end }, prevKv }) => ({ kind: 'delete', key: from, end, prevKv }));

const operand: Arbitrary<Operand> = fc.oneof(
  fc.record({ of: fc.constant('version' as const), version: fc.integer({ min: -1, max: 4 }) }),
  fc.record({ of: fc.constantFrom('create' as const, 'mod' as const), revision: anyRevision }),
  fc.record({ of: fc.constant('value' as const), value }),
  fc.record({ of: fc.constant('lease' as const), lease: leaseOfKey }),
  fc.constant({ of: 'nothing' as const }),
);

const targetOf: Readonly<Record<Operand['of'], number>> = {
  version: 0,
  create: 1,
  mod: 2,
  value: 3,
  lease: 4,
  nothing: 0,
};

const condition: Arbitrary<Condition> = fc
  .record({
    span,
    result: mostly(fc.nat({ max: 3 }), fc.constantFrom(4, -1), 30),
    target: mostly(fc.constant(undefined), fc.constantFrom(0, 1, 2, 3, 4, 5, -1), 8),
    operand,
  })
  .map(({ span: { key: from, end }, result, target, operand: against }) => ({
    key: from,
    end,
    result,
    target: target ?? targetOf[against.of],
    operand: against,
  }));

/** Up to three levels; most have one. */
function txn(depth: number): Arbitrary<TxnOp> {
  const leaves = [
    { arbitrary: range, weight: 4 },
    { arbitrary: put, weight: 8 },
    { arbitrary: remove, weight: 3 },
  ];
  const inner: Arbitrary<InnerOp> =
    depth > 1 ? fc.oneof(...leaves, { arbitrary: txn(depth - 1), weight: 3 }) : fc.oneof(...leaves);
  const odd = mostly(inner, fc.constant({ kind: 'empty' as const }), 60);
  return fc
    .record({
      compare: fc.array(condition, { maxLength: 3 }),
      success: fc.array(odd, { maxLength: 4 }),
      failure: fc.array(odd, { maxLength: 3 }),
    })
    .map((parts) => ({ kind: 'txn', ...parts }));
}

/** Deletes everything from a key on, and puts some keys again: several changes of one key at one revision. */
const replacement: Arbitrary<TxnOp> = fc
  .record({
    from: fc.constantFrom('\0', 'a'),
    prevKv: fc.boolean(),
    puts: fc.uniqueArray(put, { selector: (op) => op.key, minLength: 1, maxLength: 3 }),
  })
  .map(({ from, prevKv, puts }) => ({
    kind: 'txn',
    compare: [],
    success: [{ kind: 'delete', key: from, end: '\0', prevKv }, ...puts],
    failure: [],
  }));

/**
 * etcd's rule against deleting and putting one key does not see deletions without an end. It ends with a panic when such a
 * transaction puts a key that is to keep what it had, and also some time after a compaction at its revision: the row of the put is
 * gone, the index still has it; a hash at that revision is off for the same reason. The first are not drawn at all, the second not
 * together with compactions and hashes.
 */
function bearable(op: TxnOp, isCompacted: boolean): TxnOp {
  if (!someOp(op, ({ kind, ...rest }) => kind === 'delete' && 'end' in rest && rest.end === '\0')) return op;
  const isPutting = someOp(op, ({ kind }) => kind === 'put');
  return isPutting ? (tamed(op, isCompacted) as TxnOp) : op;
}

function someOp(op: InnerOp, holds: (one: InnerOp) => boolean): boolean {
  return holds(op) || (op.kind === 'txn' && [...op.success, ...op.failure].some((one) => someOp(one, holds)));
}

function tamed(op: InnerOp, isCompacted: boolean): InnerOp {
  if (isCompacted && op.kind === 'delete' && op.end === '\0') return { ...op, end: '\xff\xff\xff' };
  if (!isCompacted && op.kind === 'put') return { ...op, ignoreValue: false, ignoreLease: false };
  if (op.kind !== 'txn') return op;
  const all = (ops: readonly InnerOp[]): InnerOp[] => ops.map((one) => tamed(one, isCompacted));
  return { ...op, success: all(op.success), failure: all(op.failure) };
}

const watch: Arbitrary<WatchOp> = fc
  .record({
    span,
    stream: fc.nat({ max: 1 }),
    id: mostly(fc.constant(0), fc.constantFrom(1, 2, 5, -9), 3),
    start: mostly(fc.constant(none), anyRevision, 1),
    filters: mostly(fc.constant([]), fc.array(fc.constantFrom(0, 1, 5), { maxLength: 3 }), 3),
    prevKv: fc.boolean(),
    fragment: rarely(3),
    progressNotify: rarely(5),
  })
  .map(({ span: { key: from, end }, ...rest }) => ({ kind: 'watch', key: from, end, ...rest }));

const compactRevision: Arbitrary<RevisionRef> = mostly(
  fc.oneof(
    fc.record({ at: fc.constant('current' as const), plus: fc.integer({ min: -10, max: 0 }) }),
    fc.record({ at: fc.constant('compacted' as const), plus: fc.integer({ min: -1, max: 6 }) }),
  ),
  fc.oneof(oddRevision, fc.constant(none)),
  6,
);

/**
 * What a protobuf reader must refuse, or must not: lengths past the end, endless varints, field number 0, wire types that there are
 * not, groups. None has a field of another wire type than its own: see docs/differences.md.
 */
const malformedTails: readonly Text[] = [
  '\x0a',
  '\x0a\x05ab',
  '\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
  '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01',
  '\x00\x01',
  '\xfa\x07\x01z',
  '\xfa\x07\x05z',
  '\xfb\x07\x08\x01\xfc\x07',
  '\xfb\x07\x08\x01',
  '\xfc\x07',
  '\xf9\x07\x01',
  '\xff\x07\x01',
  '\xfd\x07\x01\x02\x03\x04',
];
const keyMethods = ['Range', 'Put', 'DeleteRange'].map((name) => `etcdserverpb.KV/${name}`);
const numberMethods = [
  'etcdserverpb.KV/Compact',
  'etcdserverpb.Lease/LeaseRevoke',
  'etcdserverpb.Lease/LeaseTimeToLive',
  'etcdserverpb.Maintenance/HashKV',
];
/** Bytes behind a key, or behind a number that stands for nothing there is. */
const malformed: Arbitrary<Operation> = fc
  .oneof(
    fc.record({
      method: fc.constantFrom(...keyMethods),
      bytes: fc.constantFrom(...malformedTails).map((tail) => `\x0a\x01a${tail}`),
    }),
    fc.record({
      method: fc.constantFrom(...numberMethods),
      bytes: fc
        .constantFrom(...malformedTails.filter((tail) => !tail.startsWith('\x0a')))
        .map((tail) => `\x08\xff\xff\x7f${tail}`),
    }),
  )
  .map((parts) => ({ kind: 'malformed', ...parts }));

const by = fc.constantFrom('last' as const, 'last' as const, 'stale' as const, 'none' as const);
const leaseOfRecipe: Arbitrary<LeaseRef> = mostly(namedLease, unknown, 12);
const recipe: Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant('lock' as const), lease: leaseOfRecipe }),
  fc.constant({ kind: 'unlock' as const }),
  fc.record({ kind: fc.constant('campaign' as const), lease: leaseOfRecipe, value }),
  fc.constant({ kind: 'leader' as const }),
  fc.record({ kind: fc.constant('proclaim' as const), by, value }),
  fc.record({ kind: fc.constant('resign' as const), by }),
);

const member = fc.constantFrom('own' as const, 'none' as const, 'unknown' as const);

const compaction: Arbitrary<Operation> = fc.record({
  kind: fc.constant('compact' as const),
  revision: compactRevision,
  physical: fc.boolean(),
});

const operationWithout: Arbitrary<Operation> = fc.oneof(
  { arbitrary: put, weight: 26 },
  { arbitrary: range, weight: 20 },
  { arbitrary: remove, weight: 8 },
  { arbitrary: txn(3), weight: 18 },
  { arbitrary: unsortableRange, weight: 1 },
  { arbitrary: unsortableTxn, weight: 1 },
  { arbitrary: replacement, weight: 4 },
  { arbitrary: watch, weight: 8 },
  {
    arbitrary: fc.record({
      kind: fc.constant('unwatch' as const),
      stream: fc.nat({ max: 1 }),
      watch: fc.integer({ min: -1, max: 6 }),
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ kind: fc.constant('progress' as const), stream: fc.nat({ max: 1 }) }), weight: 2 },
  {
    arbitrary: fc.record({
      kind: fc.constant('grant' as const),
      lease: fc.oneof({ arbitrary: namedLease, weight: 5 }, { arbitrary: noLease, weight: 2 }),
      ttl: mostly(
        fc.integer({ min: 300, max: 5_000 }),
        fc.constantFrom(2 ** 33, 9_000_000_000, 9_000_000_001, 2 ** 50),
        9,
      ),
    }),
    weight: 7,
  },
  { arbitrary: fc.record({ kind: fc.constant('revoke' as const), lease: anyLease }), weight: 3 },
  { arbitrary: fc.record({ kind: fc.constant('keep alive' as const), lease: anyLease }), weight: 3 },
  {
    arbitrary: fc.record({ kind: fc.constant('time to live' as const), lease: anyLease, keys: fc.boolean() }),
    weight: 3,
  },
  { arbitrary: fc.constant({ kind: 'leases' as const }), weight: 2 },
  { arbitrary: fc.record({ kind: fc.constant('hash' as const), revision }), weight: 3 },
  { arbitrary: fc.constant({ kind: 'status' as const }), weight: 1 },
  { arbitrary: fc.record({ kind: fc.constant('members' as const), linearizable: fc.boolean() }), weight: 1 },
  { arbitrary: malformed, weight: 2 },
  {
    arbitrary: fc.record({
      kind: fc.constant('big put' as const),
      valueBytes: fc.constantFrom(requestBytesMax - 2_000, requestBytesMax + 100, requestBytesMax + 600_000),
    }),
    weight: 1,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('big txn' as const),
      opsCount: fc.integer({ min: 1, max: txnOpsMax + 1 }),
      depth: fc.integer({ min: 1, max: 4 }),
    }),
    weight: 1,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('unknown method' as const),
      path: fc.constantFrom('/etcdserverpb.KV/Nothing', '/etcdserverpb.Nothing/Range', '/nothing'),
    }),
    weight: 1,
  },
  { arbitrary: fc.record({ kind: fc.constant('move leader' as const), target: member }), weight: 1 },
  { arbitrary: recipe, weight: 5 },
);

const bearableIn =
  (isCompacted: boolean) =>
  (op: Operation): Operation =>
    op.kind === 'txn' ? bearable(op, isCompacted) : op;
const withoutCompaction: Arbitrary<Operation> = operationWithout
  .filter(({ kind }) => kind !== 'hash')
  .map(bearableIn(false));
const withCompaction: Arbitrary<Operation> = fc.oneof(
  { arbitrary: operationWithout.map(bearableIn(true)), weight: 30 },
  { arbitrary: compaction, weight: 1 },
);

/**
 * Of one kind: etcd before 3.6 forgets what one alarm forbids when one of another kind is raised. Transactions in them have no
 * others inside: etcd counts only the puts of the outermost as taking space.
 */
const alarmed = (kind: number): Arbitrary<Operation> => {
  const alarm: Arbitrary<Operation> = fc.record({
    kind: fc.constant('alarm' as const),
    action: fc.nat({ max: 2 }),
    member,
    alarm: fc.constantFrom(0, kind, kind, kind),
  });
  const one = withoutCompaction.filter(
    (op) => op.kind !== 'txn' || ![...op.success, ...op.failure].some(({ kind: inner }) => inner === 'txn'),
  );
  return fc.oneof({ arbitrary: one, weight: 9 }, { arbitrary: alarm, weight: 1 });
};

/** Sequences of `lengthMin` operations and a few more. Few have alarms, which end most of what there is to see. */
export function sequence(lengthMin: number): Arbitrary<Sequence> {
  const operations = (one: Arbitrary<Operation>): Arbitrary<(Operation | undefined)[]> =>
    fc.array(fc.option(one, { nil: undefined, freq: 1_000_000 }), {
      minLength: lengthMin,
      maxLength: lengthMin + 8,
      size: 'max',
    });
  return fc.record({
    patient: fc.boolean(),
    operations: fc.oneof(
      { arbitrary: operations(withoutCompaction), weight: 6 },
      { arbitrary: operations(withCompaction), weight: 12 },
      { arbitrary: operations(alarmed(AlarmType.NOSPACE)), weight: 1 },
      { arbitrary: operations(alarmed(AlarmType.CORRUPT)), weight: 1 },
    ),
  });
}
