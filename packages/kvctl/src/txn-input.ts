/**
 * The comparisons of `kvctl txn`: one per line, `value("key") = "text"`. Read as etcdctl reads them, which is Go's Sscanf:
 * quotes around key and operand, white space around the operator, anything after the operand ignored.
 */
import { type CompareOperator, compare } from '@quorate/client';
import type { Compare } from '@quorate/proto';
import { Exit, ExitError } from './exit.ts';
import { type ByteString, toBytes } from './text/bytes.ts';
import { clampToNumber, parseInt64 } from './text/numbers.ts';
import { quote, unquote } from './text/quote.ts';

/** Throws ExitError. */
export function parseCompare(line: ByteString): Compare {
  const paren = line.indexOf('(');
  if (paren < 0) throw malformed(line, '');
  const target = line.slice(0, paren);
  const { key, operator, operand, isComplete } = scan(line.slice(paren + 1));
  if (!isComplete) throw malformed(line, `; got ${target}(${quote(key)}) ${operator} ${quote(operand)}`);
  return build({ line, target, key: toBytes(key), operator: knownOperator(line, operator), operand });
}

interface Scanned {
  readonly key: ByteString;
  readonly operator: ByteString;
  readonly operand: ByteString;
  readonly isComplete: boolean;
}

function scan(text: ByteString): Scanned {
  const key = scanQuoted(text);
  const operator = key === undefined ? null : /^\)[ \t\r]+([^ \t\r\n]+)/.exec(key.rest);
  const operand = operator === null ? undefined : scanQuoted(key!.rest.slice(operator[0].length), /^[ \t\r]+/);
  return {
    key: key?.value ?? '',
    operator: operator?.[1] ?? '',
    operand: operand?.value ?? '',
    isComplete: operand !== undefined,
  };
}

/** A string in double quotes or backquotes at the start, after white space. */
function scanQuoted(text: ByteString, space = /^[ \t\r]*/): { value: ByteString; rest: ByteString } | undefined {
  const before = space.exec(text)?.[0];
  if (before === undefined) return undefined;
  const quoted = /^(?:"(?:[^"\\]|\\[\s\S])*"|`[^`]*`)/.exec(text.slice(before.length))?.[0];
  if (quoted === undefined) return undefined;
  const value = quoted.startsWith('`') ? quoted.slice(1, -1) : unquote(quoted);
  return value === undefined ? undefined : { value, rest: text.slice(before.length + quoted.length) };
}

interface Parts {
  readonly line: ByteString;
  readonly target: ByteString;
  readonly key: Buffer;
  readonly operator: CompareOperator;
  readonly operand: ByteString;
}

function build({ line, target, key, operator, operand }: Parts): Compare {
  const number = (base: 10 | 16): bigint => {
    try {
      return parseInt64(operand, base);
    } catch (error) {
      throw new ExitError(Exit.invalidInput, `invalid txn compare request: ${line} (${(error as Error).message})`);
    }
  };
  switch (target) {
    case 'ver':
    case 'version':
      return compare.version(key, operator, clampToNumber(number(10)));
    case 'c':
    case 'create':
      return compare.createRevision(key, operator, clampToNumber(number(10)));
    case 'm':
    case 'mod':
      return compare.modRevision(key, operator, clampToNumber(number(10)));
    case 'val':
    case 'value':
      return compare.value(key, operator, toBytes(operand));
    case 'lease':
      return compare.lease(key, operator, BigInt.asUintN(64, number(16)));
    default:
      throw malformed(line, ` (unknown target ${target})`);
  }
}

function knownOperator(line: ByteString, operator: ByteString): CompareOperator {
  if (operator === '=' || operator === '!=' || operator === '<' || operator === '>') return operator;
  throw malformed(line, ` (unknown operator ${operator}, expected =, !=, < or >)`);
}

function malformed(line: ByteString, detail: ByteString): ExitError {
  return new ExitError(Exit.invalidInput, `malformed comparison: ${line}${detail}`);
}

/** Words of a request line: double quoted (with escapes), single quoted (as they are) or plain. Throws ExitError. */
export function splitWords(line: ByteString): ByteString[] {
  // White space is that of ASCII: JavaScript's \s would cut UTF-8 sequences apart at their byte 0xa0.
  const words = line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^'"\t\n\f\r ][^\t\n\f\r ]*[^'"\t\n\f\r ]?/g) ?? [];
  return words.map((word) => {
    if (word.startsWith("'")) return word.slice(1, -1);
    if (!word.startsWith('"')) return word;
    const plain = unquote(word);
    if (plain === undefined) throw new ExitError(Exit.invalidInput, 'invalid syntax');
    return plain;
  });
}
