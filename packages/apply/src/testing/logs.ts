/** Random logs: committed entries of every kind, proposed by several members. */
import {
  AlarmRequest,
  ConfChange,
  type Entry,
  EntryType,
  InternalRaftRequest,
  MemberRecord,
  RequestHeader,
} from '@quorate/proto';
import fc from 'fast-check';
import { type KvRequest, kvRequests } from './arbitraries.ts';

type Content = Pick<Entry, 'type' | 'data'>;

/** Members that propose: 1 and 2. */
const proposers = fc.constantFrom(1n, 2n);
const memberIds = fc.bigInt({ min: 1n, max: 3n });

const alarms = fc
  .record({ action: fc.integer({ min: 0, max: 2 }), memberID: memberIds, alarm: fc.constantFrom(0, 1, 1, 2) })
  .map((fields) => ({ alarm: AlarmRequest.create(fields) }));
const attributes = memberIds.map((memberId) => ({
  memberAttributesSet: { memberId, name: `member ${memberId}`, clientUrls: [`http://c${memberId}`], incarnation: 0n },
}));
const versions = fc.constantFrom('3.5.0', '3.6.0').map((version) => ({ clusterVersionSet: { version } }));
const downgrades = fc
  .boolean()
  .map((enabled) => ({ downgradeInfoSet: { enabled, targetVersion: enabled ? '3.5.0' : '' } }));
const unsupported = fc.constantFrom<Partial<InternalRaftRequest>>({ leaseRevoke: { id: 7n } }, {});

const normal: fc.Arbitrary<Content> = fc
  .record({
    proposer: proposers,
    id: fc.nat(),
    fields: fc.oneof(
      { weight: 12, arbitrary: kvRequests.map(fieldsOf) },
      { weight: 1, arbitrary: alarms },
      { weight: 1, arbitrary: attributes },
      { weight: 1, arbitrary: versions },
      { weight: 1, arbitrary: downgrades },
      { weight: 1, arbitrary: unsupported },
    ),
  })
  .map(({ proposer, id, fields }) => {
    const header = RequestHeader.create({ id, proposer });
    return {
      type: EntryType.ENTRY_NORMAL,
      data: InternalRaftRequest.encode(InternalRaftRequest.create({ header, ...fields })),
    };
  });

const confChanges: fc.Arbitrary<Content> = fc
  .record({
    type: fc.integer({ min: 0, max: 3 }),
    id: memberIds,
    isPromote: fc.boolean(),
    proposer: proposers,
    learnersMax: fc.nat(2),
    requestId: fc.nat(),
  })
  .map(({ type, id, requestId, ...about }) => {
    const context = MemberRecord.encode(MemberRecord.create({ id, ...about, peerUrls: [`http://m${id}`] }));
    const data = ConfChange.encode(ConfChange.create({ type, nodeId: id, id: requestId, context }));
    return { type: EntryType.ENTRY_CONF_CHANGE, data };
  });

const empty = fc.constant<Content>({ type: EntryType.ENTRY_NORMAL, data: Buffer.alloc(0) });

/** Entries from index 1 on, with a term that rises now and then. */
export function logs(lengthMax: number): fc.Arbitrary<Entry[]> {
  const content = fc.oneof(
    { weight: 10, arbitrary: normal },
    { weight: 2, arbitrary: confChanges },
    { weight: 1, arbitrary: empty },
  );
  return fc.array(content, { minLength: 1, maxLength: lengthMax }).map((contents) => {
    let term = 1;
    return contents.map(({ type, data }, i) => {
      if (data.length === 0) term++;
      return { index: i + 1, term, type, data };
    });
  });
}

function fieldsOf(item: KvRequest): Partial<InternalRaftRequest> {
  switch (item.kind) {
    case 'compact':
      return { compaction: item.request };
    case 'range':
      return { range: item.request };
    case 'put':
      return { put: item.request };
    case 'deleteRange':
      return { deleteRange: item.request };
    case 'txn':
      return { txn: item.request };
  }
}
