import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Mailbox } from './mailbox.ts';

describe('a mailbox', () => {
  test('gives everything in order, whether it was asked for before or after', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 60 }), async (steps) => {
        const mailbox = new Mailbox<number>();
        const asked: Promise<IteratorResult<number, undefined>>[] = [];
        let count = 0;
        for (const isPush of steps) {
          if (!isPush) asked.push(mailbox.next());
          else {
            mailbox.push(count);
            count += 1;
          }
        }
        expect(mailbox.length).toBe(Math.max(count - asked.length, 0));
        mailbox.end();
        const given = (await Promise.all(asked)).flatMap(({ done, value }) => (done === true ? [] : [value]));
        for await (const item of mailbox) given.push(item);
        expect(given).toEqual(Array.from({ length: count }, (_, i) => i));
      }),
    );
  });

  test('gives what is there before the failure, and the failure once', async () => {
    const mailbox = new Mailbox<number>();
    mailbox.push(1);
    mailbox.fail(new Error('no'));
    mailbox.push(2);
    expect(await mailbox.next()).toEqual({ done: false, value: 1 });
    await expect(mailbox.next()).rejects.toThrow('no');
    expect(await mailbox.next()).toEqual({ done: true, value: undefined });
  });

  test('tells the failure to the first who waits', async () => {
    const mailbox = new Mailbox<number>();
    const waits = [mailbox.next(), mailbox.next()];
    mailbox.fail(new Error('no'));
    expect((await Promise.allSettled(waits)).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(await mailbox.next()).toMatchObject({ done: true });
  });

  test('drops what is there when it is aborted or left', async () => {
    const left: string[] = [];
    const [aborted, abandoned] = ['aborted', 'abandoned'].map(
      (name) => new Mailbox<number>({ onLeave: () => left.push(name) }),
    ) as [Mailbox<number>, Mailbox<number>];
    aborted.push(1);
    aborted.abort(new Error('no'));
    await expect(aborted.next()).rejects.toThrow('no');
    await aborted.return();
    abandoned.push(1);
    await abandoned.return();
    await abandoned.return();
    expect(await abandoned.next()).toMatchObject({ done: true });
    expect(left).toEqual(['abandoned']);
  });

  test('reports what it hands over, and forgets the oldest when told to', async () => {
    const taken: number[] = [];
    const mailbox = new Mailbox<number>({ onTake: (item) => taken.push(item) });
    const waiting = mailbox.next();
    for (const item of [1, 2, 3]) mailbox.push(item);
    mailbox.dropOldest();
    await waiting;
    await mailbox.next();
    expect(taken).toEqual([1, 3]);
    expect(mailbox.length).toBe(0);
    mailbox.dropOldest();
  });
});
