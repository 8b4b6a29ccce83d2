import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Compare,
  ConfState,
  DecodeError,
  Entry,
  HashResponse,
  Message,
  nestingMax,
  PutRequest,
  Reader,
  RequestOp,
  ResponseHeader,
  TxnRequest,
  UserAddOptions,
  WatchCreateRequest,
  WatchRequest,
} from './index.ts';
import { anyMessage, codecs } from './testing/reflection.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const maxSafe = Number.MAX_SAFE_INTEGER;

describe('varints', () => {
  test.each([
    ['9223372036854775807', 'ff ff ff ff ff ff ff ff 7f', maxSafe, maxSafe],
    ['-9223372036854775808', '80 80 80 80 80 80 80 80 80 01', -maxSafe, maxSafe],
    ['-1', 'ff ff ff ff ff ff ff ff ff 01', -1, maxSafe],
    ['2^53 - 1', 'ff ff ff ff ff ff ff 0f', maxSafe, maxSafe],
    ['2^53', '80 80 80 80 80 80 80 10', maxSafe, maxSafe],
    ['-(2^53 - 1)', '81 80 80 80 80 80 80 f0 ff 01', -maxSafe, maxSafe],
    ['-2^53', '80 80 80 80 80 80 80 f0 ff 01', -maxSafe, maxSafe],
    ['2^32', '80 80 80 80 10', 2 ** 32, 2 ** 32],
    ['1, written in ten bytes', '81 80 80 80 80 80 80 80 80 00', 1, 1],
  ])('%s as a number is the nearest one in ±(2^53-1)', (_name, bytes, signed, unsigned) => {
    expect(new Reader(hex(bytes)).int64()).toBe(signed);
    expect(new Reader(hex(bytes)).uint64()).toBe(unsigned);
  });

  test('64 bits as a bigint are exact, signed and unsigned', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const bytes = varint(value);
        expect(new Reader(bytes).biguint()).toBe(value);
        expect(new Reader(bytes).bigint()).toBe(BigInt.asIntN(64, value));
      }),
    );
  });

  test('a bool is true when any of 64 bits is set', () => {
    expect(UserAddOptions.decode(hex('08 80 80 80 80 80 80 80 80 80 01')).noPassword).toBe(true);
    expect(UserAddOptions.decode(hex('08 80 00')).noPassword).toBe(false);
  });

  test('32-bit fields keep the low 32 bits', () => {
    expect(HashResponse.decode(hex('10 ff ff ff ff ff 01')).hash).toBe(0xffff_ffff);
    expect(Compare.decode(hex('08 ff ff ff ff ff ff ff ff ff 01')).result).toBe(-1);
  });

  test.each([
    ['eleven bytes', '18 80 80 80 80 80 80 80 80 80 80 01'],
    ['more than 64 bits', '18 80 80 80 80 80 80 80 80 80 02'],
    ['cut short', '18 80'],
    ['cut short in its high half', '18 80 80 80 80 80'],
    ['missing', '18'],
  ])('a varint of %s is refused', (_name, bytes) => {
    expect(() => PutRequest.decode(hex(bytes))).toThrow(DecodeError);
  });
});

describe('fields', () => {
  test('unknown fields of every wire type are skipped, groups with what is in them', () => {
    const unknown =
      'f8 01 05' + // varint
      'f9 01 0102030405060708' + // 64 bits
      'fa 01 02 aabb' + // bytes
      'fd 01 01020304' + // 32 bits
      'fb 01 0805 0b 0c 1a 01 63 fc 01'; // group 31 with a varint, an empty group 1 and bytes
    expect(PutRequest.decode(hex(`0a 01 6b ${unknown} 12 01 76`))).toEqual(
      PutRequest.create({ key: Buffer.from('k'), value: Buffer.from('v') }),
    );
  });

  test('a field of another wire type than declared is unknown, not an error', () => {
    // key as a varint, lease as bytes, prev_kv as 32 bits
    expect(PutRequest.decode(hex('08 05 1a 02 0102 25 01020304 12 01 76'))).toEqual(
      PutRequest.create({ value: Buffer.from('v') }),
    );
  });

  test('repeated numbers are read packed, unpacked and mixed', () => {
    expect(WatchCreateRequest.decode(hex('2a 02 00 01 28 01 2a 00 28 00')).filters).toEqual([0, 1, 1, 0]);
    expect(ConfState.decode(hex('08 01 0a 0b ff ff ff ff ff ff ff ff ff 01 02')).voters).toEqual([
      1n,
      0xffff_ffff_ffff_ffffn,
      2n,
    ]);
  });

  test('a scalar given twice keeps the last value, a message given twice is merged', () => {
    expect(PutRequest.decode(hex('0a 01 61 0a 01 62')).key).toEqual(Buffer.from('b'));
    const request = RequestOp.decode(hex('12 03 0a 01 6b 12 03 12 01 76'));
    expect(request.requestPut).toEqual(PutRequest.create({ key: Buffer.from('k'), value: Buffer.from('v') }));
  });

  test('the last member of a oneof wins and clears the others', () => {
    expect(Compare.decode(hex('20 05 40 07'))).toEqual(Compare.create({ lease: 7n }));
    expect(Compare.decode(hex('40 07 20 00'))).toEqual(Compare.create({ version: 0 }));
    const watch = WatchRequest.decode(hex('0a 03 0a 01 61 1a 00 0a 00'));
    expect(watch.progressRequest).toBeUndefined();
    expect(watch.createRequest?.key).toHaveLength(0);
  });

  test('byte fields are views of the input', () => {
    const input = hex('0a 01 61');
    const { key } = PutRequest.decode(input);
    input[2] = 0x62;
    expect(key.toString()).toBe('b');
  });
});

describe('what is refused', () => {
  test.each([
    ['field number 0', '00 01'],
    ['field number 0 in two bytes', '82 00 00'],
    ['a field number beyond 29 bits', '88 80 80 80 10 01'],
    ['bytes longer than the message', '0a 05 61'],
    ['a length of 2^63', '0a ff ff ff ff ff ff ff ff 7f'],
    ['an unknown field longer than the message', 'fa 01 05 00'],
    ['a truncated unknown 64-bit field', 'f9 01 0102'],
    ['a truncated unknown 32-bit field', 'fd 01 0102'],
    ['the end of a group that never began', '0c'],
    ['a group that never ends', '0b 08 01'],
    ['a group ended by another number', '0b 14'],
    ['wire type 6', '0e'],
    ['wire type 7', '0f'],
  ])('%s', (_name, bytes) => {
    expect(() => PutRequest.decode(hex(bytes))).toThrow(DecodeError);
  });

  test('a nested message that is longer than the one around it', () => {
    // request_put claims 5 bytes inside a RequestOp of 4, inside a TxnRequest that has enough of them.
    expect(() => TxnRequest.decode(hex('12 04 12 05 0a 01 6b 12 00'))).toThrow(DecodeError);
  });

  test('a varint that runs over the end of its nested message', () => {
    expect(() => TxnRequest.decode(hex('12 04 12 02 18 80 01 00'))).toThrow(DecodeError);
  });

  test('a packed list whose last number runs over its end', () => {
    expect(() => ConfState.decode(hex('0a 01 80 01'))).toThrow(DecodeError);
  });

  test.each([
    ['a lone continuation byte', '80'],
    ['an overlong form', 'c0 80'],
    ['a surrogate', 'ed a0 80'],
    ['a cut sequence', 'e2 82'],
    ['a code point beyond U+10FFFF', 'f4 90 80 80'],
    ['an invalid byte beside a real U+FFFD', 'ef bf bd ff'],
  ])('a string that is not UTF-8: %s', (_name, bytes) => {
    const text = hex(bytes);
    const message = Buffer.concat([hex('12'), Buffer.from([text.length]), text]);
    const version = codecs.find((codec) => codec.name === 'etcdserverpb.DowngradeRequest')!;
    expect(() => version.decode(message)).toThrow(DecodeError);
    expect(() => version.decode(hex('12 03 ef bf bd'))).not.toThrow();
  });

  test('nesting beyond the limit, in messages and in groups, but not at it', () => {
    expect(() => Message.decode(nestedMessage(nestingMax))).not.toThrow();
    expect(() => Message.decode(nestedMessage(nestingMax + 1))).toThrow('nested too deeply');
    const groups = (depth: number): Buffer => Buffer.concat([Buffer.alloc(depth, 0x0b), Buffer.alloc(depth, 0x0c)]);
    expect(() => PutRequest.decode(groups(nestingMax))).not.toThrow();
    expect(() => PutRequest.decode(groups(nestingMax + 1))).toThrow('nested too deeply');
    expect(() => PutRequest.decode(groups(1_000_000))).toThrow('nested too deeply');
  });

  test('not a wide message: only what is inside one another counts as nesting', () => {
    const entries = Array.from({ length: 3 * nestingMax }, (_, index) => Entry.create({ index }));
    expect(Message.decode(Message.encode(Message.create({ entries }))).entries).toEqual(entries);
    const groups = Buffer.alloc(6 * nestingMax, Buffer.from([0x0b, 0x0c]));
    expect(() => PutRequest.decode(groups)).not.toThrow();
  });

  test('the error says where and not what', () => {
    const secret = Buffer.from('secret');
    const bytes = Buffer.concat([hex('0a 06'), secret, hex('12 7f')]);
    expect(() => PutRequest.decode(bytes)).toThrow(/^malformed message: length past the end at byte 9$/);
  });
});

/** A varint as the specification tells it: seven bits a byte, lowest first. */
function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

/** A message in a message …, `depth` of them inside the outermost. */
function nestedMessage(depth: number): Buffer {
  let message = Message.create();
  for (let i = 0; i < depth; i++) message = Message.create({ responses: [message] });
  return Message.encode(message);
}

describe('any bytes', () => {
  test.each(codecs)('$name: random bytes decode or are refused', (codec) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        onlyDecodeErrors(() => codec.decode(Buffer.from(bytes)));
      }),
      { numRuns: 60 },
    );
  });

  test.each(codecs)('$name: damaged encodings decode or are refused', (codec) => {
    const damage = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom('flip', 'cut', 'insert', 'remove', 'repeat'),
      byte: fc.nat(255),
    });
    fc.assert(
      fc.property(anyMessage(codec, 2), fc.array(damage, { minLength: 1, maxLength: 4 }), (message, damages) => {
        let bytes = codec.encode(message);
        for (const { at, kind, byte } of damages) bytes = damaged(bytes, at % (bytes.length + 1), kind, byte);
        onlyDecodeErrors(() => codec.decode(bytes));
      }),
      { numRuns: 60 },
    );
  });

  test('what decodes, encodes to something that decodes to the same', () => {
    fc.assert(
      fc.property(fc.constantFrom(...codecs), fc.uint8Array({ maxLength: 32 }), (codec, bytes) => {
        let message: Record<string, unknown>;
        try {
          message = codec.decode(Buffer.from(bytes));
        } catch {
          return;
        }
        expect(codec.decode(codec.encode(message))).toEqual(message);
      }),
      { numRuns: 3000 },
    );
  });

  test('the header of one message is not read into the next', () => {
    const bytes = ResponseHeader.encode(ResponseHeader.create({ clusterId: 1n, revision: 5 }));
    const first = ResponseHeader.decode(bytes);
    const second = ResponseHeader.decode(Buffer.alloc(0));
    expect([first.revision, second.revision]).toEqual([5, 0]);
  });
});

function onlyDecodeErrors(run: () => void): void {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
  }
}

function damaged(bytes: Buffer, at: number, kind: string, byte: number): Buffer {
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  switch (kind) {
    case 'flip':
      return Buffer.concat([before, Buffer.from([(after[0] ?? 0) ^ (1 << (byte & 7))]), after.subarray(1)]);
    case 'cut':
      return before;
    case 'insert':
      return Buffer.concat([before, Buffer.from([byte]), after]);
    case 'remove':
      return Buffer.concat([before, after.subarray(1)]);
    default:
      return Buffer.concat([before, after, after]);
  }
}
