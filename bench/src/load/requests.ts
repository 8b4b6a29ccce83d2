/** What callers ask for: the bytes of requests, made ahead and reused, so that the generator's own work is small. */
import {
  Compare,
  CompareCompareResult,
  CompareCompareTarget,
  PutRequest,
  RangeRequest,
  RequestOp,
  services,
  TxnRequest,
} from '@quorate/proto';

/**
 * Ranges are linearizable but where it says otherwise, and of one key. Transactions compare the key's version and read the key;
 * `txn-write` also puts it, `txn-mixed` in one of five.
 */
export const operations = ['put', 'range', 'serializable-range', 'txn-write', 'txn-mixed'] as const;
export type Operation = (typeof operations)[number];

/** One of so many transactions of `txn-mixed` writes. */
const mixedWrites = 5;
/** Larger than that all requests together must not be. */
const requestBytesMax = 64 << 20;

/** `keyCount` keys of eight bytes, fewer when values are so large that the requests would not fit into 64 MiB. */
export function requests(load: {
  readonly operation: Operation;
  readonly valueBytes: number;
  readonly keyCount: number;
}): { readonly path: string; readonly next: () => Buffer } {
  const value = Buffer.alloc(load.valueBytes, 'v');
  const count = Math.min(load.keyCount, Math.ceil(requestBytesMax / Math.max(1, load.valueBytes)));
  const encoded: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const key = Buffer.alloc(8);
    key.writeBigUInt64BE(BigInt(i));
    encoded.push(encode(load.operation, { key, value, at: i }));
  }
  let at = 0;
  return { path: pathOf(load.operation), next: () => encoded[at++ % encoded.length]! };
}

function pathOf(operation: Operation): string {
  const { put, range, txn } = services.kv.methods;
  if (operation === 'put') return put.path;
  return operation === 'range' || operation === 'serializable-range' ? range.path : txn.path;
}

function encode(operation: Operation, { key, value, at }: { key: Buffer; value: Buffer; at: number }): Buffer {
  switch (operation) {
    case 'put':
      return PutRequest.encode(PutRequest.create({ key, value }));
    case 'range':
    case 'serializable-range':
      return RangeRequest.encode(RangeRequest.create({ key, serializable: operation === 'serializable-range' }));
    case 'txn-write':
    case 'txn-mixed': {
      const writes = operation === 'txn-write' || at % mixedWrites === 0;
      const requestPut = PutRequest.create({ key, value });
      const requestRange = RangeRequest.create({ key });
      return TxnRequest.encode(
        TxnRequest.create({
          // True of every key, one that is not there included.
          compare: [
            Compare.create({
              result: CompareCompareResult.GREATER,
              target: CompareCompareTarget.VERSION,
              key,
              version: -1,
            }),
          ],
          success: [...(writes ? [RequestOp.create({ requestPut })] : []), RequestOp.create({ requestRange })],
        }),
      );
    }
  }
}
