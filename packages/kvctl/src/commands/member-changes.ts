/** `member add`, `member remove`, `member update` and `member promote`. */
import type { MemberAddResponse } from '@quorate/proto';
import type { Command } from 'commander';
import { Exit, ExitError } from '../exit.ts';
import { booleanFlag, stringFlag } from '../flags.ts';
import type { Terminal } from '../io.ts';
import { withSession } from '../session.ts';
import { type ByteString, fromText, toText } from '../text/bytes.ts';
import { parseUint64 } from '../text/numbers.ts';
import { quote } from '../text/quote.ts';
import { leafCommand } from './context.ts';

interface UrlFlags {
  readonly peerUrls: ByteString;
}

export function addCommand(terminal: Terminal): Command {
  return leafCommand<UrlFlags & { learner: boolean }>(terminal, {
    name: 'add',
    usage: '<memberName> [options]',
    summary: 'Adds a member into the cluster',
    flags: (command) => {
      peerUrlsFlag(command, 'comma separated peer URLs for the new member.');
      booleanFlag(command, { name: 'learner', help: 'indicates if the new member is raft learner' });
    },
    run: async ({ args, flags, command }) => {
      const [name] = args;
      if (name === undefined) throw new ExitError(Exit.badArgs, 'member name not provided');
      if (args.length > 1) throw new ExitError(Exit.badArgs, tooMany(args));
      const urls = peerUrlsOf(flags);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('memberAdd');
        const response = await client.cluster.memberAdd(urls, { isLearner: flags.learner }, call);
        show(response);
        if (format.name === 'simple') terminal.out(settingsOf(response, name, flags.peerUrls));
      });
    },
  });
}

export function removeCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'remove',
    usage: '<memberID>',
    summary: 'Removes a member from the cluster',
    run: async ({ args, command }) => {
      const id = memberIdOf(args);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('memberRemove');
        show(await client.cluster.memberRemove(id, call), { id });
      });
    },
  });
}

export function updateCommand(terminal: Terminal): Command {
  return leafCommand<UrlFlags>(terminal, {
    name: 'update',
    usage: '<memberID> [options]',
    summary: 'Updates a member in the cluster',
    flags: (command) => peerUrlsFlag(command, 'comma separated peer URLs for the updated member.'),
    run: async ({ args, flags, command }) => {
      const id = memberIdOf(args);
      const urls = peerUrlsOf(flags);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('memberUpdate');
        show(await client.cluster.memberUpdate(id, urls, call), { id });
      });
    },
  });
}

export function promoteCommand(terminal: Terminal): Command {
  return leafCommand(terminal, {
    name: 'promote',
    usage: '<memberID>',
    summary: 'Promotes a non-voting member in the cluster',
    more: 'A learner can be promoted when it has at least nine tenths of the leader’s log.\n',
    run: async ({ args, command }) => {
      const id = memberIdOf(args);
      await withSession({ terminal, command }, async ({ client, format, call }) => {
        const show = format.show('memberPromote');
        show(await client.cluster.memberPromote(id, call), { id });
      });
    },
  });
}

function peerUrlsFlag(command: Command, help: string): void {
  stringFlag(command, { name: 'peer-urls', argument: 'urls', value: '', help });
}

function memberIdOf(args: readonly ByteString[]): bigint {
  const [text, ...more] = args;
  if (text === undefined || more.length > 0) throw new ExitError(Exit.badArgs, 'member ID is not provided');
  try {
    return parseUint64(text, 16);
  } catch (error) {
    throw new ExitError(Exit.badArgs, `bad member ID arg (${(error as Error).message}), expecting ID in Hex`);
  }
}

/** Checked as etcd's client library checks them before it asks. */
function peerUrlsOf({ peerUrls }: UrlFlags): string[] {
  if (peerUrls === '') throw new ExitError(Exit.badArgs, 'member peer urls not provided');
  return peerUrls.split(',').map((url) => checkedUrl(toText(url).trim()));
}

function checkedUrl(url: string): string {
  // Go's parser takes what stands before a colon for a scheme, if it can be one.
  if (/^[^/]*:/.test(url) && !/^[a-z][a-z0-9+.-]*:/i.test(url)) {
    const text = fromText(url);
    throw new ExitError(Exit.error, `parse ${quote(text)}: first path segment in URL cannot contain colon`);
  }
  const shape = /^(?:(https?|unixs?):\/\/)?([^/]*)(\/.*)?$/i.exec(url);
  const [, scheme, host = '', path] = shape ?? [];
  if (scheme === undefined) {
    throw new ExitError(Exit.error, `URL scheme must be http, https, unix, or unixs: ${fromText(url)}`);
  }
  if (/^http/i.test(scheme) && !/^(?:\[[^\]]*\]|[^:[\]]*):[^:]*$/.test(host)) {
    throw new ExitError(Exit.error, `URL address does not have the form "host:port": ${fromText(url)}`);
  }
  if (path !== undefined) throw new ExitError(Exit.error, `URL must not contain a path: ${fromText(url)}`);
  return url;
}

function tooMany(args: readonly ByteString[]): ByteString {
  const urls = args.filter((arg) => /^http/i.test(arg)).map((arg) => `, did you mean --peer-urls=${arg}`);
  return `too many arguments${urls.join('')}`;
}

/** What the new member is to be started with, as etcdctl prints it: the variables are kvd's with `KVD_` in the place of `ETCD_`. */
function settingsOf({ member, members }: MemberAddResponse, name: ByteString, peerUrls: ByteString): ByteString {
  const cluster = members.flatMap((one) =>
    one.peerURLs.map((url) => `${one.id === member?.id ? name : fromText(one.name)}=${fromText(url)}`),
  );
  return [
    '',
    `ETCD_NAME=${quote(name)}`,
    `ETCD_INITIAL_CLUSTER=${quote(cluster.join(','))}`,
    `ETCD_INITIAL_ADVERTISE_PEER_URLS=${quote(peerUrls)}`,
    'ETCD_INITIAL_CLUSTER_STATE="existing"',
    '',
  ].join('\n');
}
