import { KvError, kvErrors, Status } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { deadlineError, errorText, publicError, RpcError } from './errors.ts';

function failure(status: number, details: string): RpcError {
  return new RpcError({ status: status as 14, details, endpoint: 'a:1', sent: true });
}

describe('publicError', () => {
  test('every text of etcd becomes its code, whatever its status', () => {
    for (const [code, { message }] of Object.entries(kvErrors)) {
      expect(publicError(failure(Status.UNKNOWN, message))).toMatchObject({ name: 'KvError', code, message });
    }
  });

  test('other texts keep their status', () => {
    const error = failure(Status.UNAVAILABLE, 'read ECONNRESET');
    expect(publicError(error)).toBe(error);
  });

  test('what is no failed call passes', () => {
    const reason = new Error('aborted by the caller');
    expect(publicError(reason)).toBe(reason);
  });
});

describe('errorText', () => {
  test('is worded as etcd words it', () => {
    expect(errorText(new KvError('compacted'))).toBe('etcdserver: mvcc: required revision has been compacted');
    expect(errorText(deadlineError({ endpoint: '', sent: false }))).toBe('context deadline exceeded');
    expect(errorText(failure(Status.INTERNAL, 'boom'))).toBe('rpc error: code = Internal desc = boom');
    expect(errorText(new Error('plain'))).toBe('plain');
  });
});
