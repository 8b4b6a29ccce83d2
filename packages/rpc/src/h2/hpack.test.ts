import { connect } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ErrorCode, Flag, FrameType, frameHeaderBytes, prefaceText, writeFrameHeader } from './frames.ts';
import { ConnectionError } from './h2-errors.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { encodeFields, encodeTableSize, type FieldText } from './hpack-encoder.ts';
import { decodeHuffman, huffmanCodes, huffmanDecodedBytesMax } from './hpack-huffman.ts';
import { staticEntryMax, staticTable } from './hpack-static.ts';

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

function decode(decoder: HpackDecoder, block: Buffer): FieldText[] {
  return decoder.decode(block, 0, block.length).fields.map(({ name, value }) => [name, value]);
}

function newDecoder(listBytesMax = 1 << 20): HpackDecoder {
  return new HpackDecoder(listBytesMax);
}

const get: FieldText[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
];
const requests: [FieldText[], number][] = [
  [get, 57],
  [[...get, ['cache-control', 'no-cache']], 110],
  [
    [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ],
    164,
  ],
];
const found = (status: string, second: number): FieldText[] => [
  [':status', status],
  ['cache-control', 'private'],
  ['date', `Mon, 21 Oct 2013 20:13:${second} GMT`],
  ['location', 'https://www.example.com'],
];
const responses: [FieldText[], number][] = [
  [found('302', 21), 222],
  [found('307', 21), 222],
  [
    [
      ...found('200', 22),
      ['content-encoding', 'gzip'],
      ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
    ],
    215,
  ],
];

describe('the examples of RFC 7541, appendix C', () => {
  test.each<[string, string, FieldText]>([
    ['2.1', '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header']],
    ['2.2', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path']],
    ['2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret']],
    ['2.4', '82', [':method', 'GET']],
  ])('C.%s', (_section, block, field) => {
    expect(decode(newDecoder(), hex(block))).toEqual([field]);
  });

  test.each([
    [
      'C.3: requests without Huffman code',
      requests,
      '',
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
    ],
    [
      'C.4: requests with Huffman code',
      requests,
      '',
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ],
    [
      'C.5: responses without Huffman code, evicting',
      responses,
      '3fe101',
      [
        '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d' +
          '546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '4803 3330 37c1 c0bf',
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f' +
          '6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b' +
          '2076 6572 7369 6f6e 3d31',
      ],
    ],
    [
      'C.6: responses with Huffman code, evicting',
      responses,
      '3fe101',
      [
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7' +
          '8f0b 97c8 e9ae 82ae 43d3',
        '4883 640e ffc1 c0bf',
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335' +
          'dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ],
    ],
  ] as const)('%s', (_section, expected, sizeUpdate, blocks) => {
    const decoder = newDecoder();
    blocks.forEach((block, i) => {
      const [fields, tableBytes] = expected[i]!;
      expect(decode(decoder, hex(i === 0 ? sizeUpdate + block : block))).toEqual(fields);
      expect(decoder.table.sizeBytes).toBe(tableBytes);
    });
  });
});

describe('blocks that are wrong end the connection', () => {
  test.each([
    ['an index of zero', '80'],
    ['an index beyond both tables', 'be'],
    ['a name index beyond both tables', '7e 01 61'],
    ['an integer that never ends', 'ff 80 80 80 80 80 80 01'],
    ['an integer cut off', 'ff 80'],
    ['a string longer than the block', '40 0a 61'],
    ['a name without a value', '40 01 61'],
    ['a literal that is only a prefix', '40'],
    ['a table size above the limit', '3f e2 1f'],
    ['a table size after a field', '82 20'],
    ['three table sizes', '20 20 20 82'],
    ['a name index of zero bytes behind it', '7f'],
    ['a table size that never ends', '3f ff ff ff ff ff 0f'],
    ['a string length that never ends', '00 7f ff ff ff ff 0f'],
    ['an end-of-string symbol in Huffman code', '00 84 ff ff ff ff 01 61'],
    ['padding of eight bits', '00 82 1f ff 01 61'],
    ['padding that is not all ones', '00 81 1a 01 61'],
  ])('%s', (_what, block) => {
    const bytes = hex(block);
    expect(() => newDecoder().decode(bytes, 0, bytes.length)).toThrow(
      expect.objectContaining({ constructor: ConnectionError, code: ErrorCode.compressionError }),
    );
  });

  test('random bytes decode or are refused, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (blocks) => {
        const decoder = newDecoder();
        try {
          for (const block of blocks) decode(decoder, Buffer.from(block));
        } catch (error) {
          expect(error).toBeInstanceOf(ConnectionError);
        }
        expect(decoder.table.sizeBytes).toBeLessThanOrEqual(decoder.table.sizeBytesMax);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the dynamic table', () => {
  test('an entry larger than the table empties it', () => {
    const decoder = newDecoder();
    decode(decoder, hex('40 01 61 01 62'));
    decode(decoder, Buffer.concat([hex('40 01 63 7f 81 20'), Buffer.alloc(4_224, 'x')]));
    expect([decoder.table.count, decoder.table.sizeBytes]).toEqual([0, 0]);
  });

  test('a name may be taken from the entry that its own field evicts', () => {
    const decoder = newDecoder();
    // Room for one entry of 34 bytes.
    decode(decoder, hex('3f 03 40 01 61 01 62'));
    expect(decode(decoder, hex('7e 01 63'))).toEqual([['a', 'c']]);
    expect(decode(decoder, hex('be'))).toEqual([['a', 'c']]);
  });

  test('a smaller size evicts the oldest, a larger one later brings nothing back', () => {
    const decoder = newDecoder();
    decode(decoder, hex('40 01 61 01 62 40 01 63 01 64'));
    // 34 bytes, then the largest size that is allowed.
    expect(decode(decoder, hex('3f 03 be'))).toEqual([['c', 'd']]);
    expect(decode(decoder, hex('3f e1 1f be'))).toEqual([['c', 'd']]);
    expect(decoder.table.count).toBe(1);
    expect(() => decode(decoder, hex('bf'))).toThrow('index beyond the table');
  });

  test('equal entries are separate entries', () => {
    const decoder = newDecoder();
    decode(decoder, hex('40 01 61 01 62 40 01 61 01 62'));
    expect(decode(decoder, hex('be bf'))).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  test('literals that are not to be indexed, ever or this time, leave it alone', () => {
    const decoder = newDecoder();
    expect(decode(decoder, hex('00 01 61 01 62 10 01 63 01 64'))).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    expect(decoder.table.count).toBe(0);
  });

  test('more small entries than its ring had room for at first are found by their age', () => {
    const decoder = newDecoder();
    for (let i = 0; i < 200; i++) decode(decoder, Buffer.from([0x40, 1, 0x61, 1, i]));
    const held = decoder.table.count;
    expect(held).toBe(Math.floor(4_096 / 34));
    expect(decoder.table.get(0)?.value.charCodeAt(0)).toBe(199);
    expect(decoder.table.get(held - 1)?.value.charCodeAt(0)).toBe(200 - held);
    expect(decoder.table.get(held)).toBeUndefined();
  });

  test('its version changes with every change, and only then', () => {
    const decoder = newDecoder();
    decode(decoder, hex('82 00 01 61 01 62'));
    expect(decoder.table.version).toBe(0);
    decode(decoder, hex('40 01 61 01 62'));
    decode(decoder, hex('20'));
    expect(decoder.table.version).toBe(2);
  });
});

test('a list beyond the limit is cut, and the table still follows', () => {
  const decoder = newDecoder(100);
  const block = hex('40 01 61 01 62 be be be 40 01 63 01 64');
  expect(decoder.decode(block, 0, block.length)).toMatchObject({ tooLarge: true });
  expect(decode(decoder, hex('be bf'))).toEqual([
    ['c', 'd'],
    ['a', 'b'],
  ]);
});

describe('the Huffman code', () => {
  test('is complete: every infinite string of bits means something', () => {
    // Kraft's sum, in units of the longest code.
    expect(huffmanCodes.length).toBe(257);
    expect(huffmanCodes.reduce((sum, { bits }) => sum + 2 ** (30 - bits), 0)).toBe(2 ** 30);
  });

  test.each([
    [48, 0x0, 5],
    [32, 0x14, 6],
    [88, 0xfc, 8],
    [92, 0x7fff0, 19],
    [128, 0xfffe6, 20],
    [199, 0x1ffffec, 25],
    [249, 0xffffffe, 28],
    [255, 0x3ffffee, 26],
    [10, 0x3ffffffc, 30],
    [256, 0x3fffffff, 30],
  ])('symbol %d is %d in %d bits, as in appendix B', (symbol, code, bits) => {
    expect(huffmanCodes[symbol]).toEqual({ code, bits });
  });

  test('decoding undoes encoding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const encoded = encodeHuffman(bytes);
        const into = Buffer.alloc(huffmanDecodedBytesMax(encoded.length));
        const length = decodeHuffman(encoded, 0, encoded.length, into);
        expect(into.subarray(0, length)).toEqual(Buffer.from(bytes));
      }),
    );
  });
});

/** Bit by bit, as the RFC says it. */
function encodeHuffman(bytes: Uint8Array): Buffer {
  let bits = '';
  for (const byte of bytes) {
    const { code, bits: count } = huffmanCodes[byte]!;
    bits += code.toString(2).padStart(count, '0');
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

test('what the encoder writes, the decoder reads, leaving no trace in the table', () => {
  const text = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  const known = fc.constantFrom(...staticTable.slice(1)).map(({ name, value }): FieldText => [name, value]);
  const free = fc.tuple(text, text).map(([name, value]): FieldText => [name, value]);
  fc.assert(
    fc.property(fc.array(fc.oneof(known, free)), (fields) => {
      const decoder = newDecoder();
      expect(decode(decoder, Buffer.concat([encodeTableSize(0), encodeFields(fields)]))).toEqual(fields);
      expect(decoder.table.count).toBe(0);
      expect(decoder.usedDynamicTable).toBe(false);
    }),
  );
  expect(staticEntryMax).toBe(61);
});

describe('nghttp2 as an oracle', () => {
  test('whatever headers it sends on one connection are read as they were given', async () => {
    const captured = await captureBlocks();
    const value = fc.string({
      unit: fc
        .oneof(
          { weight: 5, arbitrary: fc.integer({ min: 0x21, max: 0x7e }) },
          { weight: 1, arbitrary: fc.integer({ min: 0x80, max: 0xff }) },
        )
        .map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 60,
    });
    const name = fc.constantFrom('token', 'hasleader', 'client-api-version', 'accept', 'x-a', 'x-b', 'grpc-timeout');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 8 }), async (pairs) => {
        const headers = Object.fromEntries(pairs);
        const fields = await captured.send(headers);
        expect(Object.fromEntries(fields.filter(([field]) => !field.startsWith(':')))).toEqual(headers);
        expect(fields.filter(([field]) => field.startsWith(':')).length).toBe(4);
      }),
      { numRuns: 300 },
    );
    captured.close();
  });
});

/** A node:http2 client whose header blocks are caught on their way and decoded by us, all by one decoder. */
async function captureBlocks(): Promise<{
  send(headers: Record<string, string>): Promise<FieldText[]>;
  close(): void;
}> {
  const decoder = newDecoder();
  let onFields: (fields: FieldText[]) => void = () => {};
  const server = createServer((socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    let at = prefaceText.length;
    socket.on('error', () => {});
    socket.write(rawHeader(0, FrameType.settings, 0));
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= at + frameHeaderBytes && bytes.length >= at + frameHeaderBytes + bytes.readUIntBE(at, 3)) {
        const end = at + frameHeaderBytes + bytes.readUIntBE(at, 3);
        if (bytes[at + 3] === FrameType.headers) answer(socket, bytes, at, end);
        if (bytes[at + 3] === FrameType.settings && (bytes[at + 4]! & Flag.ack) === 0) {
          socket.write(rawHeader(0, FrameType.settings, Flag.ack));
        }
        at = end;
      }
    });
  });
  const answer = (socket: Socket, bytes: Buffer, at: number, end: number): void => {
    expect(bytes[at + 4]! & (Flag.priority | Flag.padded)).toBe(0);
    onFields(decode(decoder, bytes.subarray(at + frameHeaderBytes, end)));
    socket.write(Buffer.concat([rawHeader(1, FrameType.headers, 5, bytes.readUInt32BE(at + 5)), Buffer.from([0x88])]));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const session = connect(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
  return {
    send: (headers) =>
      new Promise((resolve, reject) => {
        onFields = resolve;
        const stream = session.request(headers);
        stream.on('error', reject);
        stream.resume();
      }),
    close: () => {
      session.destroy();
      server.close();
    },
  };
}

function rawHeader(length: number, type: number, flags: number, streamId = 0): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes);
  writeFrameHeader(bytes, 0, length, type, flags, streamId);
  return bytes;
}
