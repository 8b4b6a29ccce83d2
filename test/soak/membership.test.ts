/**
 * Twenty lives of clusters whose members come and go under load, killed with SIGKILL at random moments: three members replaced one
 * by one, then one member to five and back. What must be true of each: support/member-life.ts. `QUORATE_MEMBER_ROUNDS` sets how
 * many, `QUORATE_MEMBER_SEED` where they start.
 */
import { afterEach, expect, test } from 'vitest';
import { MemberLife } from '../support/member-life.ts';

const rounds = Number(process.env['QUORATE_MEMBER_ROUNDS'] ?? 20);
const seed = Number(process.env['QUORATE_MEMBER_SEED'] ?? Date.now() % 1_000_000);

const open: { life: MemberLife | undefined } = { life: undefined };
afterEach(async () => {
  await open.life?.close();
  open.life = undefined;
});

const stories = {
  'three members are replaced one by one': {
    size: 3,
    flags: [],
    live: (life: MemberLife) => life.replaceAll(),
  },
  'one member becomes three, five, three, one': {
    size: 1,
    flags: ['--strict-reconfig-check=false'],
    live: (life: MemberLife) => life.pass([3, 5, 3, 1]),
  },
};

test.each(Object.entries(stories))(`${rounds} times: %s (seed ${seed})`, async (_name, { size, flags, live }) => {
  const sums = { writes: 0, kills: 0, removed: 0 };
  for (let round = 0; round < rounds; round++) {
    const life = await MemberLife.begin(size, flags, seed + round);
    open.life = life;
    try {
      await live(life);
      await life.judge();
    } catch (error) {
      throw new Error(`round ${round} (seed ${seed + round}): ${String(error)}\n${life.cluster.log()}`, {
        cause: error,
      });
    }
    sums.writes += life.writers.acked.size;
    sums.kills += life.kills;
    sums.removed += life.removed.length;
    console.log(`round ${round + 1}: ${life.describe()}`);
    await life.close();
  }
  console.log(JSON.stringify(sums));
  expect(sums.kills).toBeGreaterThan(rounds);
});
