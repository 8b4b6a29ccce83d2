/**
 * A small cluster driven by a script, one command at a time: members, the messages between them, and what the script sees of it.
 * Nothing happens by itself: readies are handled, messages delivered and threads run only when a command says so.
 */
import type { Random } from '@quorate/base';
import type { Message, Snapshot } from '@quorate/proto';
import { emptyConfState } from '../storage.ts';
import { emptyBytes, isLocalThread, MessageType } from '../types.ts';
import { parseChanges, textCodec } from './conf-change-text.ts';
import { argValue, type Directive, type ScriptHandler, words } from './datadriven.ts';
import {
  describeEntries,
  describeMessage,
  describeMessageType,
  describeProgress,
  describeReady,
  describeRole,
} from './describe.ts';
import { hardStateIn, ScriptNode, type ScriptNodeConfig } from './script-node.ts';
import { isLevel, ScriptOutput } from './script-output.ts';

/** The latest time-out: members of scripts campaign when told to. */
const latest: Random = { below: (bound) => bound - 1 };

export class Interaction {
  readonly nodes: ScriptNode[] = [];
  readonly #output = new ScriptOutput();
  #messages: Message[] = [];

  /** Runs one command and returns what it prints. */
  readonly handle: ScriptHandler = (directive) => {
    const before = this.#output.level;
    const level = argValue(directive, 'log-level');
    if (level !== undefined) this.#setLevel(level);
    const run = commands[directive.command];
    if (run === undefined) throw new Error(`line ${directive.line}: unknown command ${directive.command}`);
    run(this, directive);
    if (level !== undefined) this.#output.level = before;
    return this.#output.take();
  };

  node(id: string | bigint): ScriptNode {
    const found = this.nodes.find((node) => node.id === BigInt(id));
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  }

  /** Nodes named by the command's bare words; all when none is. */
  named(directive: Directive): ScriptNode[] {
    const ids = words(directive);
    return ids.length === 0 ? this.nodes : ids.map((id) => this.node(id));
  }

  print(lines: string): void {
    this.#output.print(lines);
  }

  printError(message: string): void {
    this.#output.printError(message);
  }

  #setLevel(text: string): void {
    if (!isLevel(text)) throw new Error(`unknown level ${text}`);
    this.#output.level = text;
  }

  setLevel(directive: Directive): void {
    this.#setLevel(words(directive)[0] ?? '');
  }

  addNodes(directive: Directive): void {
    const count = Number(words(directive)[0]);
    const ids = (key: string): bigint[] => (directive.args.find((arg) => arg.key === key)?.values ?? []).map(BigInt);
    const index = Number(argValue(directive, 'index') ?? 0);
    const confState = { ...emptyConfState(), voters: ids('voters'), learners: ids('learners') };
    const start: Snapshot | undefined =
      index === 0 ? undefined : { data: emptyBytes, metadata: { confState, index, term: 1 } };
    for (let i = 0; i < count; i++) {
      const id = BigInt(this.nodes.length + 1);
      this.nodes.push(new ScriptNode(this.#nodeConfig(id, directive), start));
    }
  }

  #nodeConfig(id: bigint, directive: Directive): ScriptNodeConfig {
    const flag = (key: string): boolean => argValue(directive, key) === 'true';
    const count = (key: string): number => Number(argValue(directive, key) ?? Number.POSITIVE_INFINITY);
    return {
      id,
      random: latest,
      confChangeCodec: textCodec,
      logger: this.#output.logger(),
      electionTicks: 3,
      heartbeatTicks: 1,
      asyncStorageWrites: flag('async-storage-writes'),
      maxSizePerMsg: count('max-size-per-msg'),
      maxInflightMsgs: count('inflight'),
      maxInflightBytes: Number.POSITIVE_INFINITY,
      maxCommittedSizePerReady: count('max-committed-size-per-ready'),
      maxUncommittedEntriesSize: count('max-uncommitted-size'),
      checkQuorum: flag('checkquorum'),
      preVote: flag('prevote'),
      readOnlyOption: argValue(directive, 'read-only') === 'lease-based' ? 'lease-based' : 'safe',
      disableConfChangeValidation: flag('disable-conf-change-validation'),
      disableProposalForwarding: flag('disable-proposal-forwarding'),
      stepDownOnRemoval: flag('step-down-on-removal'),
    };
  }

  // ── readies and threads ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs `step` for each node, under a heading when there are several. */
  forEach(nodes: readonly ScriptNode[], heading: string, step: (node: ScriptNode) => void): void {
    const [only] = nodes;
    if (nodes.length === 1 && only !== undefined) {
      step(only);
      return;
    }
    for (const node of nodes) this.#under(node, heading, () => step(node));
  }

  #under(node: ScriptNode, heading: string, body: () => void): void {
    this.print(`> ${node.id} ${heading}\n`);
    this.#output.indented(body);
  }

  processReady(node: ScriptNode): void {
    const ready = node.raw.ready();
    const async = node.config.asyncStorageWrites === true;
    this.print(describeReady(ready));
    if (!async) {
      node.save(ready.hardState, ready.entries, ready.snapshot);
      node.apply(ready.committedEntries);
    }
    for (const message of ready.messages) {
      if (message.type === MessageType.MSG_STORAGE_APPEND) node.appendWork.push(message);
      else if (message.type === MessageType.MSG_STORAGE_APPLY) node.applyWork.push(message);
      else this.#messages.push(message);
    }
    if (!async) node.raw.advance();
  }

  processAppend(node: ScriptNode): void {
    const message = node.appendWork.shift();
    if (message === undefined) {
      this.print('no append work to perform\n');
      return;
    }
    this.#printWork(message);
    node.save(hardStateIn(message), message.entries, message.snapshot);
    this.#messages.push(...message.responses);
  }

  processApply(node: ScriptNode): void {
    const message = node.applyWork.shift();
    if (message === undefined) {
      this.print('no apply work to perform\n');
      return;
    }
    this.#printWork(message);
    node.apply(message.entries);
    this.#messages.push(...message.responses);
  }

  #printWork(message: Message): void {
    this.print(`Processing:\n${describeMessage({ ...message, responses: [] })}\nResponses:\n`);
    for (const response of message.responses) this.print(`${describeMessage(response)}\n`);
  }

  /** Handles readies, delivers messages and runs threads of these nodes until nothing is left to do. */
  stabilize(nodes: readonly ScriptNode[]): void {
    for (let busy = true; busy; ) {
      busy = false;
      const under = (node: ScriptNode, heading: string, body: () => void): void => {
        busy = true;
        this.#under(node, heading, body);
      };
      for (const node of nodes) {
        if (node.raw.hasReady()) under(node, 'handling Ready', () => this.processReady(node));
      }
      for (const node of nodes) {
        if (this.#messages.some(({ to }) => to === node.id)) {
          under(node, 'receiving messages', () => this.deliver(node));
        }
      }
      for (const node of nodes) {
        if (node.appendWork.length === 0) continue;
        under(node, 'processing append thread', () => {
          while (node.appendWork.length > 0) this.processAppend(node);
        });
      }
      for (const node of nodes) {
        if (node.applyWork.length === 0) continue;
        under(node, 'processing apply thread', () => {
          while (node.applyWork.length > 0) this.processApply(node);
        });
      }
    }
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes the messages to a node out of the network; dropping spares those between a node and its threads. */
  #takeMessages(to: bigint, type: string | undefined, forDrop: boolean): Message[] {
    const wanted = (message: Message): boolean =>
      message.to === to &&
      (type === undefined || describeMessageType(message.type) === type) &&
      !(forDrop && (isLocalThread(message.from) || message.from === to));
    const taken = this.#messages.filter(wanted);
    this.#messages = this.#messages.filter((message) => !wanted(message));
    return taken;
  }

  deliver(node: ScriptNode, type?: string, reverse = false): void {
    const messages = this.#takeMessages(node.id, type, false);
    if (reverse) messages.reverse();
    for (const message of messages) {
      this.print(`${describeMessage(message)}\n`);
      if (node.raw.step(message) === 'unknownPeer') this.print('raft: cannot step as peer not found\n');
    }
  }

  drop(id: bigint, type?: string): void {
    for (const message of this.#takeMessages(id, type, true)) this.print(`dropped: ${describeMessage(message)}\n`);
  }

  sendSnapshot(from: ScriptNode, to: ScriptNode): void {
    const message: Message = {
      type: MessageType.MSG_SNAP,
      to: to.id,
      from: from.id,
      term: from.raw.term,
      logTerm: 0,
      index: 0,
      entries: [],
      commit: 0,
      vote: 0n,
      snapshot: from.history.at(-1),
      reject: false,
      rejectHint: 0,
      context: emptyBytes,
      responses: [],
    };
    this.#messages.push(message);
    this.print(`${describeMessage(message)}\n`);
  }
}

type Command = (env: Interaction, directive: Directive) => void;

/** The node named by the n-th bare word. */
function nth(env: Interaction, directive: Directive, n = 0): ScriptNode {
  return env.node(words(directive)[n] ?? '0');
}

function tick(node: ScriptNode, times: number): void {
  for (let i = 0; i < times; i++) node.raw.tick();
}

function deliverMessages(env: Interaction, directive: Directive): void {
  const type = argValue(directive, 'type');
  const reverse = argValue(directive, 'reverse') === 'true';
  for (const id of words(directive)) env.deliver(env.node(id), type, reverse);
  const drops = directive.args.find((arg) => arg.key === 'drop')?.values ?? [];
  for (const id of drops) env.drop(BigInt(id), type);
}

function printLog(env: Interaction, { storage }: ScriptNode): void {
  const first = storage.firstIndex();
  const last = storage.lastIndex();
  if (last < first) env.print(`log is empty: first index=${first}, last index=${last}\n`);
  else env.print(describeEntries(storage.entries(first, last + 1, Number.POSITIVE_INFINITY)));
}

function printState(env: Interaction): void {
  for (const { id, raw } of env.nodes) {
    const voter = raw.core.tracker.isVoter(id) ? '(Voter)' : '(Non-Voter)';
    env.print(`${id}: ${describeRole(raw.role)} ${voter} Term:${raw.term} Lead:${raw.leader}\n`);
  }
}

function proposeConfChange(env: Interaction, directive: Directive): void {
  const { raw } = nth(env, directive);
  const changes = parseChanges(directive.input);
  const transition = ['auto', 'implicit', 'explicit'].indexOf(argValue(directive, 'transition') ?? 'auto');
  const [first] = changes;
  const result =
    argValue(directive, 'v1') === 'true' && first !== undefined
      ? raw.proposeConfChange({ id: 0, ...first, context: emptyBytes })
      : raw.proposeConfChange({ transition, changes, context: emptyBytes });
  if (result === 'dropped') env.printError('raft proposal dropped');
}

const commands: Record<string, Command> = {
  'add-nodes': (env, directive) => env.addNodes(directive),
  'log-level': (env, directive) => env.setLevel(directive),
  campaign: (env, directive) => nth(env, directive).raw.campaign(),
  compact: (env, directive) => {
    const node = nth(env, directive);
    node.storage.compact(Number(words(directive)[1]));
    printLog(env, node);
  },
  'deliver-msgs': deliverMessages,
  'forget-leader': (env, directive) => nth(env, directive).raw.forgetLeader(),
  'process-ready': (env, directive) =>
    env.forEach(env.named(directive), 'handling Ready', (node) => env.processReady(node)),
  'process-append-thread': (env, directive) =>
    env.forEach(env.named(directive), 'processing append thread', (node) => env.processAppend(node)),
  'process-apply-thread': (env, directive) =>
    env.forEach(env.named(directive), 'processing apply thread', (node) => env.processApply(node)),
  propose: (env, directive) => {
    const data = Buffer.from(words(directive)[1] ?? '');
    if (!nth(env, directive).raw.propose(data)) env.printError('raft proposal dropped');
  },
  'propose-conf-change': proposeConfChange,
  'raft-log': (env, directive) => printLog(env, nth(env, directive)),
  'raft-state': printState,
  'read-index': (env, directive) => {
    const context = Buffer.from(words(directive)[1] ?? '');
    if (!nth(env, directive).raw.readIndex(context)) env.printError('read dropped');
  },
  'report-snapshot': (env, directive) => {
    const ok = argValue(directive, 'ok') === 'true';
    nth(env, directive).raw.reportSnapshot(nth(env, directive, 1).id, ok);
  },
  'report-unreachable': (env, directive) => nth(env, directive).raw.reportUnreachable(nth(env, directive, 1).id),
  restart: (env, directive) => nth(env, directive).restart(),
  'send-snapshot': (env, directive) => env.sendSnapshot(nth(env, directive), nth(env, directive, 1)),
  'set-randomized-election-timeout': (env, directive) => {
    nth(env, directive).raw.core.randomizedElectionTicks = Number(argValue(directive, 'timeout'));
  },
  stabilize: (env, directive) => env.stabilize(env.named(directive)),
  status: (env, directive) => {
    for (const [id, view] of nth(env, directive).raw.status().progress) env.print(`${id}: ${describeProgress(view)}\n`);
  },
  'tick-election': (env, directive) => tick(nth(env, directive), 3),
  'tick-heartbeat': (env, directive) => tick(nth(env, directive), 1),
  'transfer-leadership': (env, directive) => {
    const from = BigInt(argValue(directive, 'from') ?? words(directive)[0] ?? 0);
    const to = BigInt(argValue(directive, 'to') ?? words(directive)[1] ?? 0);
    if (!env.node(from).raw.transferLeader(to)) env.printError('transfer dropped');
  },
};
