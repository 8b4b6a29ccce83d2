/** Why a member cannot be started, or not go on, as it was told to. */

/** A mistake in how the member was started; the text says what to do. Nothing was written. */
export class StartError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StartError';
  }
}
