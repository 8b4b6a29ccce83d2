/**
 * Commands of kvctl that run for a while, against etcdctl: both programs go through the same story, each with an etcd of its own
 * that has the same ids, and must have said the same and ended in the same way. Runs with every etcd that is installed.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { neutralEnvironment, runBytes } from '../support/byte-command.ts';
import { CommandSession, type SessionResult } from '../support/command-session.ts';
import { type EtcdInstallation, EtcdProcess, installedEtcds } from '../support/etcd-process.ts';
import { kvctlProgram, waitFor } from '../support/kvd-process.ts';

const installations = installedEtcds();
const peerUrl = 'http://127.0.0.1:2380';

/** One of the two programs, with an etcd of its own. */
class Side {
  /** 0: etcdctl · 1: kvctl. */
  readonly number: number;
  readonly #program: readonly string[];
  readonly #prefix: string;
  readonly #etcdctl: string;
  readonly #etcd: EtcdProcess;
  readonly #sessions: CommandSession[] = [];

  constructor(number: number, etcdctl: string, etcd: EtcdProcess) {
    this.number = number;
    this.#program = number === 0 ? [etcdctl] : [process.execPath, kvctlProgram];
    this.#prefix = number === 0 ? 'ETCDCTL' : 'KVCTL';
    this.#etcdctl = etcdctl;
    this.#etcd = etcd;
  }

  /** Starts the program; words are separated by spaces unless they come as a list. */
  start(line: string | readonly string[], env: Readonly<Record<string, string>> = {}): CommandSession {
    const args = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line;
    const own = Object.entries(env).map(([name, value]) => [`${this.#prefix}_${name}`, value]);
    return this.#start([...this.#program, ...args], Object.fromEntries(own));
  }

  /** Starts the program of the other side, with the etcd of this one. */
  startOther(line: string): CommandSession {
    const program = this.number === 0 ? [process.execPath, kvctlProgram] : [this.#etcdctl];
    return this.#start([...program, ...line.split(' ')]);
  }

  /** Does something to the store beside the program under test; the output of etcdctl on both sides. */
  async etcdctl(line: string, endpoint = this.#etcd.endpoint): Promise<string> {
    const words = [this.#etcdctl, '--endpoints', endpoint, ...line.split(' ')];
    const { code, stdout, stderr } = await runBytes(words, { env: { ...neutralEnvironment(), ETCDCTL_API: '3' } });
    if (code !== 0) throw new Error(`${line}: ${stderr}`);
    return stdout;
  }

  /** Asks etcdctl until it says this. */
  async until(line: string, pattern: RegExp, endpoint?: string): Promise<void> {
    await waitFor(`${line} to match ${pattern}`, 30_000, async () =>
      pattern.test(await this.etcdctl(line, endpoint)) ? true : undefined,
    );
  }

  async revision(): Promise<number> {
    return Number(/"revision":(\d+)/.exec(await this.etcdctl('get nothing -w json'))![1]);
  }

  get #endpoint(): Record<string, string> {
    return { ETCDCTL_ENDPOINTS: this.#etcd.endpoint, KVCTL_ENDPOINTS: this.#etcd.endpoint };
  }

  async endAll(): Promise<void> {
    for (const session of this.#sessions.splice(0)) await session.kill();
  }

  async close(): Promise<void> {
    await this.endAll();
    this.#etcd.stop();
  }

  #start(words: readonly string[], env?: Readonly<Record<string, string>>): CommandSession {
    const session = new CommandSession(words, { ...this.#endpoint, ...env });
    this.#sessions.push(session);
    return session;
  }
}

/** Runs a story on both sides and compares what came of it. */
type Compare = (story: (side: Side) => Promise<unknown>) => Promise<unknown>;

function sides(installation: EtcdInstallation): {
  same: Compare;
  each: (run: (side: Side) => Promise<void>) => Promise<void>;
} {
  const both: Side[] = [];
  beforeAll(async () => {
    const { etcdctl } = installation;
    for (const number of [0, 1])
      both.push(new Side(number, etcdctl, await EtcdProcess.start({ installation, peerUrl })));
  });
  afterEach(async () => {
    for (const side of both) await side.endAll();
  });
  afterAll(async () => {
    for (const side of both) await side.close();
  });
  return {
    same: async (story) => {
      const [theirs, ours] = await Promise.all(both.map(story));
      expect(ours).toEqual(theirs);
      return ours;
    },
    each: async (run) => {
      await Promise.all(both.map(run));
    },
  };
}

/** What an end is reduced to: log lines of the Go client are none of it, and variables have their program's prefix. */
function told({ end, stdout, stderr }: SessionResult): SessionResult {
  const said = stderr
    .replace(/^(?:\{"level":.*|Warning: endpoint .*)\n/gm, '')
    .replace(/^\d{4}-\d\d-\d\d .*\n/gm, '')
    .replaceAll('ETCDCTL_', 'KVCTL_')
    // 3.4 begins this one with a capital.
    .replace('Error: Error reading', 'Error: error reading');
  return { end, stdout, stderr: said };
}

/** The same with the ids of leases replaced, in keys and elsewhere. */
function leveledKeys({ end, stdout, stderr }: SessionResult): SessionResult {
  const out = stdout.replace(/^(.*\w\/)[0-9a-f]{10,16}("?)$/gm, '$1<lease>$2').replace(/("Lease" : )\d+/g, '$1<lease>');
  return { end, stdout: out, stderr };
}

for (const installation of installations) {
  describe(`watch like etcdctl ${installation.version}`, () => {
    const { same } = sides(installation);
    test.each([
      { format: 'simple', all: /DELETE\nw\/a\n2\nw\/a\n\n$/ },
      { format: 'simple --hex', all: /DELETE\n.*\n.*\n.*\n\n$/ },
      { format: 'json', all: /\n$/ },
      { format: 'fields', all: /DELETE[\s\S]*\n"Key" : "w\/a"\n[\s\S]*\n"Lease" : 0\n$/ },
      { format: 'protobuf', all: /w\/b[\s\S]*w\/a[\s\S]*w\/a/ },
    ])('shows what was, and what comes, -w $format', async ({ format, all }) => {
      await same(async (side) => {
        const from = (await side.revision()) + 1;
        for (const line of ['put w/a 1', 'put w/a 2', 'put w/b 3', 'del w/a', 'put x other']) await side.etcdctl(line);
        const session = side.start(`watch w/ --prefix --prev-kv --rev ${from} -w ${format}`);
        await session.says(all);
        await side.etcdctl('put w/end z');
        await session.says(/end|\\x65\\x6e\\x64|dy9lbmQ/);
        session.signal('SIGINT');
        return (await session.ended()).stdout;
      });
    });

    test.each([
      { line: 'watch' },
      { line: 'watch --rev 1' },
      { line: 'watch --' },
      { line: 'watch w --' },
      { line: 'watch -- echo' },
      { line: 'watch w x --prefix' },
      { line: 'watch w -w nonsense' },
      { line: 'watch w', env: { WATCH_KEY: 'w' } },
      { line: 'watch w -- echo', env: { WATCH_KEY: 'w' } },
      { line: 'watch', env: { WATCH_RANGE_END: 'w' } },
    ])('$line $env is refused', async ({ line, env = {} }) => {
      await same(async (side) => told(await side.start(line, env).ended()));
    });

    test('runs a command for each event', async () => {
      const script = 'env | grep ^ETCD_WATCH | sort; echo "$0" "$@"';
      await same(async (side) => {
        const rev = (await side.revision()) + 1;
        for (const words of ['put e/a 1', 'put e/"b ü', 'del e/a', 'put e/end 1']) await side.etcdctl(words);
        const session = side.start([
          'watch',
          'e/',
          '--prefix',
          `--rev=${rev}`,
          '--',
          'sh',
          '-c',
          script,
          '-x',
          '--rev',
          '7',
        ]);
        await session.says(/"e\/end"\n.*\n.*\n-x --rev 7\n$/s);
        session.signal('SIGTERM');
        return told(await session.ended());
      });
    });

    test.each([
      ['exits', ['sh', '-c', 'exit 3']],
      ['is killed', ['sh', '-c', 'kill -9 $$']],
      ['does not exist', ['no-such-program', 'a "word"']],
      ['is no program', ['/etc/passwd']],
    ])('ends when the command %s', async (_, command) => {
      await same(async (side) => {
        const rev = (await side.revision()) + 1;
        await side.etcdctl('put f 1');
        await side.etcdctl('put f 2');
        return told(await side.start(['watch', 'f', `--rev=${rev}`, '--', ...command]).ended());
      });
    });

    test('takes the key from the environment', async () => {
      await same(async (side) => {
        const rev = (await side.revision()) + 1;
        await side.etcdctl('put n/a 1');
        await side.etcdctl('put n/b 2');
        const session = side.start(`watch --rev ${rev} -- echo ran`, { WATCH_KEY: 'n/', WATCH_RANGE_END: 'n0' });
        await session.says(/ran\nran\n$/);
        session.signal('SIGINT');
        return told(await session.ended());
      });
    });

    test('has several watches, and more as they are typed', async () => {
      await same(async (side) => {
        const rev = (await side.revision()) + 1;
        await side.etcdctl('put i/a 1');
        await side.etcdctl('put i/b 2');
        const session = side.start('watch -i --prev-kv');
        session.type(`watch i/a --rev ${rev}\n`);
        await session.says(/i\/a\n1\n$/);
        session.type(`nonsense\n\nwatch\nwatch "i/b" --rev ${rev} -- echo ran b\n`);
        await session.says(/i\/b\n2\nran b\n$/);
        await side.etcdctl('put i/a 3');
        await session.says(/i\/a\n3\n$/);
        session.type('watch i/ --prefix --prev-kv\nwatch a b --prefix\n');
        session.closeInput();
        return told(await session.ended());
      });
    });

    test('tells how far it has come when asked', async () => {
      await same(async (side) => {
        const rev = (await side.revision()) + 1;
        await side.etcdctl('put p/a 1');
        const session = side.start('watch -i');
        session.type(`watch p/a --rev ${rev}\n`);
        await session.says(/p\/a\n1\n$/);
        // A member that has not caught up yet keeps silent.
        const asking = setInterval(() => session.type('progress\n'), 200);
        const [, revision] = await session.says(/progress notify: (\d+)\n/);
        clearInterval(asking);
        return revision;
      });
    });

    test.each([
      'watch --',
      'watch a --nope',
      'watch a -w json',
      'watch a --rev',
      'watch a --rev x',
      'watch a --prefix=maybe',
      'watch --rev 3',
      'watch -- echo',
      'watch "a\\q"',
    ])('the line %s is refused', async (line) => {
      await same(async (side) => {
        const session = side.start('watch -i');
        session.type(`${line}\n`);
        session.closeInput();
        return told(await session.ended());
      });
    });

    test('ends with 5 when what it asks for was compacted away', async () => {
      for (const format of ['simple', 'json', 'fields', 'protobuf']) {
        await same(async (side) => {
          await side.etcdctl('put c 1');
          await side.etcdctl(`compaction ${await side.revision()}`);
          const { end, stdout, stderr } = told(await side.start(`watch c --rev 1 -w ${format}`).ended());
          // Since 3.6 the fields format leaves out a revision that is 0.
          return { end, stderr, stdout: stdout.replace('"Revision" : 0\n', '') };
        });
      }
    });
  });

  describe(`lease keep-alive like etcdctl ${installation.version}`, () => {
    const { same } = sides(installation);

    async function granted(side: Side, ttl: number): Promise<string> {
      return /^lease (\S+) granted/.exec(await side.etcdctl(`lease grant ${ttl}`))![1]!;
    }

    const leveled = ({ end, stdout, stderr }: SessionResult, id: string): SessionResult => ({
      end,
      stdout: stdout.replaceAll(id, '<id>').replaceAll(String(BigInt(`0x${id}`)), '<id>'),
      stderr,
    });

    test.each(['simple', 'json', 'fields', 'protobuf', 'table'])('once, -w %s', async (format) => {
      await same(async (side) => {
        const id = await granted(side, 600);
        return leveled(told(await side.start(`lease keep-alive --once ${id} -w ${format}`).ended()), id);
      });
    });

    test.each(['simple', 'json', 'fields'])('until it is revoked, -w %s', async (format) => {
      await same(async (side) => {
        const id = await granted(side, 2);
        const session = side.start(`lease keep-alive ${id} -w ${format}`);
        const renewal = format === 'fields' ? /("TTL" : 2\n[\s\S]*){4}/ : /(.*\n){4}/;
        await session.says(renewal);
        await side.etcdctl(`lease revoke ${id}`);
        const { end, stdout, stderr } = leveled(told(await session.ended()), id);
        // How often it was renewed is a matter of time.
        return { end, lines: [...new Set(stdout.split('\n'))], stderr };
      });
    });

    test.each([
      'lease keep-alive',
      'lease keep-alive x',
      'lease keep-alive 1 2',
      'lease keep-alive 1234 --once',
      'lease keep-alive 1234',
      'lease keep-alive 1234 -w json',
    ])('%s', async (line) => {
      await same(async (side) => told(await side.start(line).ended()));
    });
  });
}

for (const installation of installations) {
  describe(`lock like etcdctl ${installation.version}`, () => {
    const { same, each } = sides(installation);

    test.each([
      'lock',
      'lock r no-such-program',
      'lock r /no/such/program',
      'lock r /etc/passwd',
      'lock r --ttl 0 true',
      'lock r --ttl 20 -- sh -c true',
    ])('%s', async (line) => {
      await same(async (side) => told(await side.start(line).ended()));
    });

    test.each([
      ['ends well', 'env | grep ^ETCD_LOCK | sort; echo "$0" "$@"'],
      ['says goodbye', 'echo to stderr >&2; exit 7'],
      ['is killed', 'kill -9 $$'],
    ])('ends as the command does that %s', async (_, script) => {
      // 3.4 ends with 1 whatever the command ended with.
      const codes = installation.minor !== '3.4';
      await same(async (side) => {
        const result = leveledKeys(told(await side.start(['lock', 'x', 'sh', '--', '-c', script, 'a', '-b']).ended()));
        expect(await side.etcdctl('get x/ --prefix')).toBe('');
        return codes ? result : { ...result, end: result.end === 0 ? 0 : 'not 0' };
      });
    });

    test.each(['SIGINT', 'SIGTERM'] as const)('is held until %s, and waited for meanwhile', async (signal) => {
      await same(async (side) => {
        const holder = side.start('lock h');
        await holder.says(/h\/.*\n\n/);
        const waiter = side.start('lock h -w fields');
        await side.until('get h/ --prefix --keys-only', /(?:h\/.*\n\n){2}/);
        const third = side.start('lock h');
        await side.until('get h/ --prefix --keys-only', /(?:h\/.*\n\n){3}/);
        third.signal(signal);
        const gaveUp = told(await third.ended());
        await side.until('get h/ --prefix --keys-only', /^(?:h\/.*\n\n){2}$/);
        holder.signal(signal);
        const released = leveledKeys(told(await holder.ended()));
        await waiter.says(/"Count" : 1\n/);
        waiter.signal(signal);
        const next = leveledKeys(told(await waiter.ended()));
        return {
          gaveUp,
          released,
          next,
        };
      });
    });

    test('is lost with its lease', async () => {
      await same(async (side) => {
        const holder = side.start('lock lost --ttl 3');
        const [, lease] = await holder.says(/^lost\/(.*)\n\n/);
        await side.etcdctl(`lease revoke ${lease}`);
        return leveledKeys(told(await holder.ended()));
      });
    });

    test('excludes holders of the other program', async () => {
      await each(async (side) => {
        const [first, second] = [side.start('lock both'), side.startOther('lock both')];
        const winner = await Promise.race([first, second].map((one) => one.says(/^both\//).then(() => one)));
        const loser = winner === first ? second : first;
        await side.until('get both/ --prefix --keys-only', /(?:both\/.*\n\n){2}/);
        expect(loser.stdout).toBe('');
        winner.signal('SIGTERM');
        expect((await winner.ended()).end).toBe(0);
        await loser.says(/^both\//);
      });
    });
  });

  describe(`elect like etcdctl ${installation.version}`, () => {
    const { same, each } = sides(installation);

    test.each(['elect', 'elect e', 'elect e p -l', 'elect a b c'])('%s', async (line) => {
      await same(async (side) => told(await side.start(line).ended()));
    });

    test('one leads, another follows it, who listens hears of both', async () => {
      await same(async (side) => {
        const listener = side.start('elect -l e');
        const first = side.start('elect e one');
        await first.says(/one\n/);
        const second = side.start('elect e two -w fields');
        await side.until('get e/ --prefix', /one\n[\s\S]*two\n/);
        const late = side.start('elect e three');
        await side.until('get e/ --prefix', /three\n/);
        late.signal('SIGINT');
        const gaveUp = told(await late.ended());
        await listener.says(/one\n/);
        first.signal('SIGINT');
        const resigned = leveledKeys(told(await first.ended()));
        await second.says(/"Count" : 1\n/);
        await listener.says(/two\n/);
        second.signal('SIGTERM');
        const next = leveledKeys(told(await second.ended()));
        listener.signal('SIGINT');
        const heard = leveledKeys(told(await listener.ended()));
        return {
          gaveUp,
          resigned,
          heard,
          next,
        };
      });
    });

    test('listens in json', async () => {
      await each(async (side) => {
        const leader = side.start('elect j value');
        await leader.says(/value\n/);
        const listener = side.start('elect -l j -w json');
        const [line] = await listener.says(/.*\n/);
        const { header, kvs, ...rest } = JSON.parse(line) as { header: object; kvs: object[] };
        expect(Object.keys(header)).toEqual(['cluster_id', 'member_id', 'revision', 'raft_term']);
        expect(kvs).toMatchObject([{ value: Buffer.from('value').toString('base64') }]);
        expect(rest).toEqual({});
      });
    });
  });

  describe(`make-mirror like etcdctl ${installation.version}`, () => {
    const { same } = sides(installation);
    const destinations: EtcdProcess[] = [];
    beforeAll(async () => {
      destinations.push(await EtcdProcess.start({ installation }), await EtcdProcess.start({ installation }));
    });
    afterAll(() => {
      for (const destination of destinations) destination.stop();
    });

    test.each(['make-mirror', 'make-mirror a:1 b:1', 'make-mirror --dest-prefix x --no-dest-prefix 127.0.0.1:1'])(
      '%s',
      async (line) => {
        await same(async (side) => told(await side.start(line).ended()));
      },
    );

    test.each(['', '--prefix m/', '--prefix m/ --dest-prefix d/', '--prefix m/ --no-dest-prefix', '--dest-prefix d/'])(
      'copies what is there and what comes, %s',
      async (flags) => {
        await same(async (side) => {
          const { endpoint } = destinations[side.number]!;
          await side.etcdctl('del --from-key \0');
          await side.etcdctl('del --from-key \0', endpoint);
          for (let i = 0; i < 5; i += 1) await side.etcdctl(`put m/${i} value${i}`);
          await side.etcdctl('put other 1');
          const session = side.start(`make-mirror ${flags} ${endpoint}`);
          await side.until('get --from-key \0', /4\nvalue4\n/, endpoint);
          await side.etcdctl('put m/3 new');
          await side.etcdctl('del m/1 m/3');
          await side.etcdctl('put m/end last');
          await side.until('get --from-key \0', /last\n/, endpoint);
          await session.kill();
          return side.etcdctl('get --from-key \0', endpoint);
        });
      },
    );
  });
}

if (installations.length === 0) test.skip('needs etcd and etcdctl, which are not installed here', () => {});
