/** A connection that could not be made: the message is Envoy's transport failure reason. */
export class TransportError extends Error {
  override readonly name = "TransportError";
  /** The system's code, where it has one (`ECONNREFUSED`). */
  readonly code: string | undefined;

  constructor(reason: string, cause?: NodeJS.ErrnoException) {
    super(reason, cause === undefined ? undefined : { cause });
    this.code = cause?.code;
  }
}
