/** Everything the KV service does, held against the plain reference over random histories. */
import {
  CompactionResponse,
  DeleteRangeResponse,
  KvError,
  PutRequest,
  PutResponse,
  RangeResponse,
  type ResponseHeader,
  TxnResponse,
} from '@quorate/proto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ApplyResult } from './answer.ts';
import {
  checkDeleteRangeRequest,
  checkPutRequest,
  checkRangeRequest,
  checkTxnRequest,
  isReadonlyTxn,
} from './check.ts';
import { RangeScan, rangeParts, rangeResponse } from './range.ts';
import { type KvRequest, knownLeases, kvRequests, rangeRequests } from './testing/arbitraries.ts';
import { Machine, testPrefix } from './testing/machine.ts';
import { Reference, Refused } from './testing/reference.ts';
import { readonlyTxnResponse } from './txn.ts';

type Answer = { readonly refused: string } | { header: ResponseHeader | undefined };

/** The answer of the implementation, by the way the server takes: checks at the edge, then the log or a view. */
function actual(machine: Machine, { kind, request }: KvRequest): Answer {
  try {
    switch (kind) {
      case 'range':
        checkRangeRequest(request);
        return RangeResponse.decode(rangeResponse(machine.store.read(), request, testPrefix));
      case 'put':
        checkPutRequest(request);
        return decoded(machine.propose({ put: request }), PutResponse.decode);
      case 'deleteRange':
        checkDeleteRangeRequest(request);
        return decoded(machine.propose({ deleteRange: request }), DeleteRangeResponse.decode);
      case 'txn':
        checkTxnRequest(request, 128);
        if (!isReadonlyTxn(request)) return decoded(machine.propose({ txn: request }), TxnResponse.decode);
        return TxnResponse.decode(readonlyTxnResponse(machine.store.read(), request, testPrefix));
      case 'compact':
        return decoded(machine.propose({ compaction: request }), CompactionResponse.decode);
    }
  } catch (error) {
    if (error instanceof KvError) return { refused: error.code };
    throw error;
  }
}

function decoded<T extends Answer>(result: ApplyResult, decode: (bytes: Buffer) => T): Answer {
  if (result instanceof KvError) return { refused: result.code };
  const answer = decode(result.response);
  expect(result.revision).toBe('header' in answer ? answer.header?.revision : undefined);
  return answer;
}

/** The answer of the reference; the edge's checks are tested on their own. */
function expected(reference: Reference, { kind, request }: KvRequest): Answer {
  try {
    switch (kind) {
      case 'range':
        return reference.range(request);
      case 'put':
        return reference.put(request);
      case 'deleteRange':
        return reference.deleteRange(request);
      case 'txn':
        checkTxnRequest(request, 128);
        return reference.txn(request);
      case 'compact':
        return reference.compact(request.revision);
    }
  } catch (error) {
    if (error instanceof KvError || error instanceof Refused) return { refused: error.code };
    throw error;
  }
}

/** Ids and term of the outer header are this member's business. */
function withoutMember(answer: Answer): Answer {
  if (!('header' in answer) || answer.header === undefined) return answer;
  expect(answer.header).toMatchObject({ clusterId: 1n, memberId: 2n, raftTerm: 3 });
  return { ...answer, header: { ...answer.header, clusterId: 0n, memberId: 0n, raftTerm: 0 } };
}

test('any history of requests is answered as the reference answers it', async () => {
  const histories = fc.array(kvRequests, { minLength: 5, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(histories, fc.boolean(), async (history, compactAtOnce) => {
      const machine = await Machine.open({ leases: knownLeases });
      const reference = new Reference(knownLeases);
      for (const item of history) {
        expect(withoutMember(actual(machine, item))).toEqual(expected(reference, item));
        if (compactAtOnce) machine.settle();
      }
      machine.settle();
      expect(machine.fatals).toEqual([]);
      expect(machine.store.currentRevision).toBe(reference.revision);
      expect(machine.store.compactRevision).toBe(reference.compacted);
    }),
    { numRuns: 1500 },
  );
}, 60_000);

test('a range read in slices answers as one read at once, whatever is written meanwhile', async () => {
  const histories = fc.array(kvRequests, { minLength: 5, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(
      histories,
      rangeRequests,
      fc.integer({ min: 1, max: 60 }),
      async (history, request, sliceBytes) => {
        const machine = await Machine.open({ leases: knownLeases });
        for (const item of history) if (item.kind !== 'compact') actual(machine, item);
        const view = machine.store.read();
        const whole = outcomeOf(() => rangeParts(view, request));
        const sliced = outcomeOf(() => {
          const scan = new RangeScan(view, request);
          let slices = 0;
          while (!scan.step({ sizeBytesMax: sliceBytes })) {
            slices++;
            machine.do({ put: PutRequest.create({ key: Buffer.from(`b${slices}`) }) });
          }
          return scan.parts();
        });
        expect(sliced).toEqual(whole);
      },
    ),
    { numRuns: 500 },
  );
}, 60_000);

function outcomeOf<T>(run: () => T): T | { refused: string } {
  try {
    return run();
  } catch (error) {
    if (error instanceof KvError) return { refused: error.code };
    throw error;
  }
}
