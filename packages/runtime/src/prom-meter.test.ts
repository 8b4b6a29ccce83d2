import { FatalError } from '@quorate/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PromMeter } from './prom-meter.ts';

function meter(): PromMeter {
  return new PromMeter({ processMetrics: false });
}

async function linesOf(from: PromMeter): Promise<string[]> {
  return (await from.text()).split('\n').filter((line) => line !== '');
}

test('counters and gauges appear with help, type, labels and value, from 0 on', async () => {
  const on = meter();
  const put = on.counter({ name: 'ops_total', help: 'Operations.', labels: { op: 'put', code: 'OK' } });
  on.counter({ name: 'ops_total', help: 'Operations.', labels: { op: 'get', code: 'OK' } });
  on.gauge({ name: 'has_leader', help: 'Whether there is one.' }).set(1);
  put.add();
  put.add(41);
  expect(await linesOf(on)).toEqual([
    '# HELP ops_total Operations.',
    '# TYPE ops_total counter',
    'ops_total{op="put",code="OK"} 42',
    'ops_total{op="get",code="OK"} 0',
    '# HELP has_leader Whether there is one.',
    '# TYPE has_leader gauge',
    'has_leader 1',
  ]);
});

test('the same name and labels give the same handle, whatever their order', async () => {
  const on = meter();
  on.counter({ name: 'n', help: 'h', labels: { a: '1', b: '2' } }).add();
  on.counter({ name: 'n', help: 'h', labels: { b: '2', a: '1' } }).add();
  expect(await linesOf(on)).toContain('n{a="1",b="2"} 2');
});

test('label values are escaped', async () => {
  const on = meter();
  on.counter({ name: 'n', help: 'h', labels: { a: 'x"\\\n' } }).add();
  expect(await linesOf(on)).toContain('n{a="x\\"\\\\\\n"} 1');
});

test('an observed gauge is read when somebody looks, the newest reader wins', async () => {
  const on = meter();
  let size = 1;
  on.observedGauge({ name: 'size', help: 'h' }, () => -1);
  on.observedGauge({ name: 'size', help: 'h' }, () => size);
  expect(await linesOf(on)).toContain('size 1');
  size = 7;
  expect(await linesOf(on)).toContain('size 7');
});

test('a histogram counts each observation in its bucket and all above it', async () => {
  const on = meter();
  const seconds = on.histogram({ name: 's', help: 'h', labels: { op: 'put' } }, [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 5]) seconds.observe(value);
  expect(await linesOf(on)).toEqual([
    '# HELP s h',
    '# TYPE s histogram',
    's_bucket{le="0.1",op="put"} 2',
    's_bucket{le="1",op="put"} 3',
    's_bucket{le="+Inf",op="put"} 4',
    's_sum{op="put"} 5.65',
    's_count{op="put"} 4',
  ]);
});

test('buckets cumulate for any observations', async () => {
  const value = fc.float({ min: 0, max: 100, noNaN: true });
  await fc.assert(
    fc.asyncProperty(fc.array(value), async (values) => {
      const on = meter();
      const bounds = [0.5, 1, 10, 50];
      const handle = on.histogram({ name: 's', help: 'h' }, bounds);
      for (const observed of values) handle.observe(observed);
      const lines = await linesOf(on);
      for (const bound of bounds) {
        expect(lines).toContain(`s_bucket{le="${bound}"} ${values.filter((observed) => observed <= bound).length}`);
      }
      expect(lines).toContain(`s_count ${values.length}`);
    }),
    { numRuns: 50 },
  );
});

test('one name with another type or other labels is a mistake in the program', () => {
  const on = meter();
  on.counter({ name: 'n', help: 'h', labels: { a: '1' } });
  expect(() => on.gauge({ name: 'n', help: 'h', labels: { a: '1' } })).toThrow(FatalError);
  expect(() => on.counter({ name: 'n', help: 'h', labels: { b: '1' } })).toThrow(FatalError);
});

test('two meters do not share anything', async () => {
  meter().counter({ name: 'n', help: 'h' }).add();
  const other = meter();
  other.counter({ name: 'n', help: 'h' });
  expect(await linesOf(other)).toContain('n 0');
});

test('process metrics are there when asked for', async () => {
  const text = await new PromMeter({ processMetrics: true }).text();
  for (const name of ['process_resident_memory_bytes', 'process_open_fds', 'process_cpu_seconds_total']) {
    expect(text).toMatch(new RegExp(`^${name} \\d`, 'm'));
  }
});
