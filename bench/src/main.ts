/**
 * The benchmark: kvd and, where installed, etcd take turns (A B A B) under the same load on the same disk; medians and ratios are
 * printed as a table and written as JSON. Every combination of what the lists say is measured:
 *
 *   npm run bench -- [--members 1,3] [--operations put,range,txn-mixed] [--callers 1,100,1000] [--over leader,all]
 *     [--values 256] [--watchers 0] [--seconds 4] [--rounds 3] [--only kvd]
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Operation } from './load/requests.ts';
import { formatTable, type Row, summarize } from './report.ts';
import { resultsDirectory, writeResults } from './results.ts';
import type { Kind } from './servers.ts';
import { type Load, measurePlan, rivals, type Sample } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '1,3' },
    operations: { type: 'string', default: 'put,range' },
    callers: { type: 'string', default: '1,100,1000' },
    over: { type: 'string', default: 'leader' },
    values: { type: 'string', default: '256' },
    watchers: { type: 'string', default: '0' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    directory: { type: 'string', default: join(tmpdir(), 'quorate-bench') },
    output: { type: 'string', default: resultsDirectory },
  },
});

const numbers = (list: string): number[] => list.split(',').map(Number);

function loads(members: number): Load[] {
  // One member is all there are.
  const overs = (members === 1 ? ['leader'] : values.over.split(',')) as Load['over'][];
  return overs.flatMap((over) =>
    (values.operations.split(',') as Operation[]).flatMap((operation) =>
      numbers(values.values).flatMap((valueBytes) =>
        numbers(values.watchers).flatMap((watchers) =>
          numbers(values.callers).map((callers) => ({ operation, callers, over, valueBytes, watchers })),
        ),
      ),
    ),
  );
}

const settings = {
  kinds: rivals(values.only),
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  directory: values.directory,
};
const versions = new Map<Kind, string>();
const samples: Sample[] = [];
for (const members of numbers(values.members)) {
  samples.push(...(await measurePlan({ members, loads: loads(members) }, settings, versions)));
}
const rows: Row[] = summarize(samples);
const names = [...versions].map(([kind, version]) => `${kind}: ${version}`).join('\n');
process.stdout.write(`${names}\n\n${formatTable(rows)}\n`);
const file = writeResults(values.output, { versions: Object.fromEntries(versions), rows, samples });
process.stdout.write(`\nwritten to ${file}\n`);
