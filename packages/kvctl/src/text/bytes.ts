/**
 * Text inside kvctl is held as byte strings: one character per byte, as the shell gave them and as the terminal will get them.
 * Keys and values need not be UTF-8, and this way they pass through arguments, transactions and messages unharmed.
 */

/** One character per byte, 0 to 255. */
export type ByteString = string;

/** UTF-8 text (from a server, from JavaScript) as bytes. */
export function fromText(text: string): ByteString {
  return Buffer.from(text).toString('latin1');
}

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1');
}

/** As JavaScript text; bytes that are not UTF-8 become U+FFFD. */
export function toText(text: ByteString): string {
  return toBytes(text).toString();
}

/** Without ASCII white space at both ends; String.trim would also take bytes 0xa0 and 0x85 out of UTF-8 sequences. */
export function trimSpace(text: ByteString): ByteString {
  return text.replace(/^[\t\n\v\f\r ]+|[\t\n\v\f\r ]+$/g, '');
}

/** `\x66\x6f\x6f`, the form of --hex. */
export function hexEscape(bytes: Uint8Array): ByteString {
  let text = '';
  for (const byte of bytes) text += `\\x${byte.toString(16).padStart(2, '0')}`;
  return text;
}
