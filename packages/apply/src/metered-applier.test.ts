import { type Meter, silentMeter } from '@quorate/base';
import { KvError } from '@quorate/proto';
import { expect, test } from 'vitest';
import { Machine } from './testing/machine.ts';
import { del, put } from './testing/requests.ts';

test('every request is timed under its kind, refused ones apart, and a series is made when there is something in it', async () => {
  const observed: string[] = [];
  const made: string[] = [];
  const meter: Meter = {
    ...silentMeter,
    histogram: ({ name, labels = {} }) => {
      const series = `${labels['op']} ${labels['success']}`;
      if (name === 'etcd_server_apply_duration_seconds') made.push(series);
      return { observe: () => observed.push(series) };
    },
  };
  const machine = await Machine.open({ meter });
  expect(made).toEqual([]);
  machine.do({ put: put('a') });
  machine.do({ put: put('b') });
  machine.do({ deleteRange: del('a') });
  expect(machine.propose({ put: put('') })).toBeInstanceOf(KvError);
  machine.do({ leaseGrant: { id: 7n, ttl: 60 } });
  expect(observed).toEqual(['Put true', 'Put true', 'DeleteRange true', 'Put false', 'LeaseGrant true']);
  expect(made).toEqual(['Put true', 'DeleteRange true', 'Put false', 'LeaseGrant true']);
});
