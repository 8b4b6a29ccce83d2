/** Makes a promise of a call with one answer. */
import { Status } from '@quorate/proto';
import type { CallListener } from '../../client.ts';
import { type RpcStatus, StatusError } from '../../respond.ts';

export class UnaryAnswer implements CallListener {
  private readonly resolve: (answer: Buffer) => void;
  private readonly reject: (error: StatusError) => void;
  private answer: Buffer | undefined = undefined;
  private count = 0;

  constructor(resolve: (answer: Buffer) => void, reject: (error: StatusError) => void) {
    this.resolve = resolve;
    this.reject = reject;
  }

  onMessage(message: Buffer): void {
    this.answer = message;
    this.count++;
  }

  onEnd({ code, message }: RpcStatus): void {
    if (code !== Status.OK) this.reject(new StatusError(code, message));
    else if (this.answer === undefined || this.count > 1) {
      this.reject(new StatusError(Status.INTERNAL, `a unary call was answered with ${this.count} messages`));
    } else this.resolve(this.answer);
  }
}
