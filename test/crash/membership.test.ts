/**
 * Members that come and go under load, killed with SIGKILL at random moments of it: three members replaced one by one, and a cluster
 * that grows from one member to five and shrinks back. What must be true in the end: support/member-life.ts. `test/soak` lives the
 * same lives twenty times.
 */
import { afterEach, test } from 'vitest';
import { MemberLife } from '../support/member-life.ts';

const seed = Number(process.env['QUORATE_MEMBER_SEED'] ?? Date.now() % 1_000_000);

const open: { life: MemberLife | undefined } = { life: undefined };
afterEach(async () => {
  await open.life?.close();
  open.life = undefined;
});

async function begin(size: number, flags: readonly string[]): Promise<MemberLife> {
  open.life = await MemberLife.begin(size, flags, seed);
  return open.life;
}

test(`all three members are replaced one by one under load, the strict check in force (seed ${seed})`, async () => {
  const life = await begin(3, []);
  await life.replaceAll();
  await life.judge();
  console.log(life.describe());
});

test(`from one member to three, to five, to three, to one (seed ${seed})`, async () => {
  const life = await begin(1, ['--strict-reconfig-check=false']);
  await life.pass([3, 5, 3, 1]);
  await life.judge();
  console.log(life.describe());
});
