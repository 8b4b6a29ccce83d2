/** The output formats by name, and what happens when one cannot show something. */
import { Exit, ExitError } from '../exit.ts';
import type { ByteString } from '../text/bytes.ts';
import { fieldsPrinter } from './fields.ts';
import { jsonPrinter } from './json.ts';
import { protobufPrinter } from './protobuf.ts';
import type { Output, Printer, Reports } from './reports.ts';
import { simplePrinter } from './simple.ts';
import { tablePrinter } from './table.ts';

type MakePrinter = (output: Output, options: { hex: boolean }) => Printer;

const formats: Readonly<Record<string, MakePrinter>> = {
  fields: fieldsPrinter,
  json: jsonPrinter,
  protobuf: protobufPrinter,
  simple: simplePrinter,
  table: tablePrinter,
};

/** For help texts. */
export const formatNames: string = Object.keys(formats).join(', ');

/** A chosen format. */
export class Format {
  readonly name: string;
  readonly #printer: Printer;

  /** Throws ExitError for an unknown name. */
  constructor(name: ByteString, output: Output, options: { hex: boolean }) {
    const make = Object.hasOwn(formats, name) ? formats[name] : undefined;
    if (make === undefined) throw new ExitError(Exit.badFeature, 'unsupported output format');
    this.name = name;
    this.#printer = make(output, options);
  }

  /** How to show this kind of thing. Asked before the request is made: a command that cannot answer must not write either. */
  show<Kind extends keyof Reports>(kind: Kind): Reports[Kind] {
    const report: Reports[Kind] | undefined = this.#printer[kind];
    if (report === undefined) throw new ExitError(Exit.badFeature, `${this.name} not supported as output format`);
    return report;
  }
}
