/** Command lines of etcdctl that say more about the server than about the client. They run before those of ctl-cases.ts. */
import type { CtlCase } from './ctl-cases.ts';

/** A command line in words separated by spaces. */
function line(text: string, more: Omit<CtlCase, 'args'> = {}): CtlCase {
  return { args: text.split(' '), ...more };
}

function txn(stdin: string, ...flags: string[]): CtlCase {
  return { args: ['txn', ...flags], stdin };
}

/** etcd's limit of 1.5 MiB is on the request with its frame, which takes some tens of bytes. */
const limitBytes = 1_572_864;

export const serverCases: readonly CtlCase[] = [
  line('get a -w json'),
  line('put s/a 1 -w json'),
  line('put s/a 2 --prev-kv -w json'),
  line('put s/b 1'),
  line('put s/c 1'),
  line('del s/none -w json'),
  line('del s/c --prev-kv -w json'),
  line('get s/c --rev 5 -w json'),
  line('get s/c --rev 6 -w json'),
  line('get s/ --prefix -w json --consistency s'),
  line('put s/big', { stdin: 'x'.repeat(limitBytes - 200) }),
  line('put s/too-big', { stdin: 'x'.repeat(limitBytes) }),
  line('put s/too-big', { stdin: 'x'.repeat(limitBytes + 400_000) }),
  line('put s/far-too-big', { stdin: 'x'.repeat(3_000_000) }),
  line('get s/big --print-value-only'),
  line('del s/big'),
  txn('\nput s/t/1 a\nput s/t/2 b\nget s/t/ --prefix\n\n\n', '-w', 'json'),
  txn('\nget s/t/1\nput s/t/1 c\nget s/t/1\ndel s/t/1 --prev-kv\nget s/t/1\n\n\n', '-w', 'json'),
  txn('\nput s/t/2 x\ndel s/t/2\n\n\n'),
  txn('\ndel s/t/ --prefix\nput s/t/2 x\n\n\n'),
  txn('\ndel s/t/2\ndel s/t/ --prefix\n\n\n', '-w', 'json'),
  txn('\nput s/u 1\n\nput s/u 2\n\n', '-w', 'json'),
  txn('mod("s/u") = "1"\n\nput s/u 1\n\nput s/u 2\nput s/u 3\n\n'),
  txn('\nget s/u --rev 99999\n\n\n'),
  txn('\nget s/u --rev -1\n\n\n', '-w', 'json'),
  txn('\nput s/u x --ignore-value\n\n\n'),
  txn('\nput s/missing --ignore-value\n\n\n'),
  txn('\nput s/u --ignore-value\n\n\n', '-w', 'json'),
  txn('\nput s/u y --lease 4d2\n\n\n'),
  txn('\nput s/ok 1\nput s/u y --lease 4d2\n\n\n'),
  line('get s/ok -w json'),
  txn('\nput "" v\n\n\n'),
  txn('value("s/u") = "4"\nversion("s/u") > "1"\n\nget s/u\n\nget s/u -w json\n\n'),
  txn('version("") = "0"\n\nget s/u\n\n\n'),
  line('get s/u -w json'),
  line('endpoint hashkv'),
  line('endpoint hashkv -w json'),
  line('endpoint hashkv --rev 7'),
  line('endpoint hashkv --rev 99999'),
  line('compaction 5 --physical'),
  line('endpoint hashkv'),
  line('endpoint hashkv --rev 4'),
  line('compaction -- 0'),
  line('compaction -- -1'),
  line('get s/a --rev 4'),
  txn('\nget s/a --rev 5\n\n\n', '-w', 'json'),
  line('move-leader 1234'),
  line('get s/t/ --from-key --limit 1 -w json'),
  line('get s --prefix --sort-by MODIFY --order DESCEND --limit 3 -w json'),
  line('get s/none --rev 9 -w json'),
  txn(`${Array.from({ length: 129 }, () => 'version("s/u") > "0"\n').join('')}\n\n\n`),
  txn(`${Array.from({ length: 128 }, () => 'version("s/u") > "0"\n').join('')}\n\n\n`),
  line('del s/t --from-key --prev-kv -w json'),
  line('get s --from-key --rev 12 -w json'),
  line('del s/ --prefix'),
  line('compaction 2'),
  line('endpoint hashkv -w json'),
];

/** After quotaCases: what the members do once the alarm was lifted, and when it comes back. */
export const afterQuotaCases: readonly CtlCase[] = [
  line('put again 1'),
  line('put large', { stdin: 'x'.repeat(200_000) }),
  line('put again 2'),
  line('put -w json again 2'),
  txn('\ndel again\n\n\n', '-w', 'json'),
  txn('\ndel again\nput again 3\n\n\n'),
  txn('\nget again\n\n\n', '-w', 'json'),
  line('compaction 2'),
  line('endpoint health'),
  line('endpoint status -w fields', { compared: 'status' }),
  line('alarm list'),
  line('alarm disarm'),
  line('alarm list'),
  line('put again 4 -w json'),
  line('get again -w json'),
];

/** Transactions with a read that cannot be served beside a write. */
export const refusedEverywhere: readonly CtlCase[] = [
  txn('\nget s/u --rev 99999\nput s/u 4\n\n\n'),
  txn('\nput s/u 4\nget s/u --rev 99999\n\n\n'),
  txn('\ndel guarded\nget s/u --rev 99999\n\n\n'),
];
