import { type AnyMethod, Status, services } from '@quorate/proto';
import { describe, expect, test } from 'vitest';
import { RpcError } from './errors.ts';
import { isRead, mayRepeat } from './retry.ts';
import { compare, op } from './txn.ts';

function failed(status: number, sent: boolean): RpcError {
  return new RpcError({ status: status as 14, details: 'text', endpoint: 'a:1', sent });
}

describe('isRead', () => {
  test('exactly these methods are reads whatever their request', () => {
    const methods = Object.values(services).flatMap((service) => Object.values<AnyMethod>(service.methods));
    const requests = { action: 1, success: [op.put('k', 'v')], failure: [] };
    expect(methods.filter((method) => isRead(method, requests)).map((method) => method.name)).toEqual(
      expect.arrayContaining(['Range', 'MemberList', 'Status', 'HashKV', 'Snapshot', 'LeaseTimeToLive', 'AuthStatus']),
    );
    const writes = methods.filter((method) => !isRead(method, requests)).map((method) => method.name);
    expect(writes).toEqual(
      expect.arrayContaining([
        'Put',
        'DeleteRange',
        'Txn',
        'Compact',
        'LeaseGrant',
        'LeaseRevoke',
        'MemberAdd',
        'Alarm',
      ]),
    );
    expect(writes).toEqual(expect.arrayContaining(['Defragment', 'MoveLeader', 'Authenticate', 'Lock', 'Campaign']));
  });

  test('a transaction is a read when no branch can write, at any depth', () => {
    const { txn } = services.kv.methods;
    const conditions = [compare.version('k', '=', 0)];
    expect(isRead(txn, { compare: conditions, success: [op.get('k')], failure: [] })).toBe(true);
    expect(isRead(txn, { compare: [], success: [], failure: [] })).toBe(true);
    expect(isRead(txn, { compare: [], success: [op.get('k')], failure: [op.delete('k')] })).toBe(false);
    const nested = (inner: ReturnType<typeof op.get>) => ({
      compare: [],
      success: [op.txn({ failure: [inner] })],
      failure: [],
    });
    expect(isRead(txn, nested(op.get('k')))).toBe(true);
    expect(isRead(txn, nested(op.put('k', 'v')))).toBe(false);
  });

  test('listing alarms is a read, raising and lifting them are not', () => {
    const { alarm } = services.maintenance.methods;
    expect([0, 1, 2].map((action) => isRead(alarm, { action }))).toEqual([true, false, false]);
  });
});

describe('mayRepeat', () => {
  const write = { mode: 'safe', isRead: false } as const;
  const read = { mode: 'safe', isRead: true } as const;

  test('a write is repeated only when it was not sent', () => {
    expect(mayRepeat(failed(Status.UNAVAILABLE, false), write)).toBe(true);
    expect(mayRepeat(failed(Status.UNAVAILABLE, true), write)).toBe(false);
  });

  test('a read is repeated whenever no member could serve it', () => {
    expect(mayRepeat(failed(Status.UNAVAILABLE, true), read)).toBe(true);
  });

  test('the caller can allow doubles and forbid repeats', () => {
    expect(mayRepeat(failed(Status.UNAVAILABLE, true), { mode: 'always', isRead: false })).toBe(true);
    expect(mayRepeat(failed(Status.UNAVAILABLE, false), { mode: 'never', isRead: true })).toBe(false);
  });

  test('answers are final', () => {
    for (const status of Object.values(Status).filter((code) => code !== Status.UNAVAILABLE)) {
      expect(mayRepeat(failed(status, true), { mode: 'always', isRead: true })).toBe(false);
    }
    expect(mayRepeat(new Error('decode'), read)).toBe(false);
  });
});
