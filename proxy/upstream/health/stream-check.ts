/** What HTTP and gRPC health checks share: a connection that is kept or not, one stream a check, GOAWAY. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder, StreamEncoder } from "../../http/codec.ts";
import type { HeaderMap } from "../../http/header-map.ts";
import { networkFailure, type CheckEnvironment, type CheckSession } from "./check-session.ts";
import type { CheckOutcome } from "./health-check-config.ts";

/** A question over HTTP and the judgement of its answer. */
export interface StreamProbe {
  readonly protocol: "http1" | "http2";
  send(encoder: StreamEncoder): void;
  /** Forgets the answer before. */
  reset(): void;
  onHeaders(headers: HeaderMap): void;
  onData(chunk: Buffer): void;
  onTrailers(trailers: HeaderMap): void;
  /** The answer is complete. */
  judge(): CheckOutcome;
}

export class StreamCheck implements CheckSession, ClientCodecHandler, StreamDecoder {
  readonly #probe: StreamProbe;
  readonly #environment: CheckEnvironment;
  readonly #reuses: boolean;
  #connection: Connection | undefined = undefined;
  #codec: ClientCodec | undefined = undefined;
  /** Of connections. */
  #generation = 0;
  #isInFlight = false;
  #closesAfter = false;

  constructor(probe: StreamProbe, environment: CheckEnvironment, reuses: boolean) {
    this.#probe = probe;
    this.#environment = environment;
    this.#reuses = reuses;
  }

  check(): void {
    this.#isInFlight = true;
    this.#probe.reset();
    if (this.#codec?.isDraining === true) this.#drop();
    if (this.#codec !== undefined) this.#ask(this.#codec);
    else {
      this.#closesAfter = !this.#reuses;
      this.#connection = this.#environment.connect(this.#transport());
    }
  }

  abort(): void {
    this.#isInFlight = false;
    this.#drop();
  }

  close(): void {
    this.abort();
  }

  /** Hears of one connection; of one that was given up, nothing more. */
  #transport(): ConnectionHandler {
    const own = ++this.#generation;
    return {
      onConnect: () => {
        const connection = this.#connection;
        if (connection === undefined || own !== this.#generation) return;
        this.#codec = this.#environment.createCodec(this.#probe.protocol, connection, this);
        if (this.#isInFlight) this.#ask(this.#codec);
      },
      onData: (chunk) => {
        if (own === this.#generation) this.#codec?.onData(chunk);
      },
      onDrain: () => {
        if (own === this.#generation) this.#codec?.onDrain();
      },
      onEnd: () => {
        if (own !== this.#generation) return;
        this.#closesAfter = true;
        this.#connection?.end();
      },
      onClose: (error) => {
        if (own !== this.#generation) return;
        const codec = this.#codec;
        this.#connection = undefined;
        this.#codec = undefined;
        codec?.onClose(error !== undefined);
        // Before there was a codec nobody else tells of it.
        if (this.#isInFlight) this.#finish(networkFailure);
      },
    };
  }

  // The codec.

  onStreamEnd(): void {}

  onGoAway(): void {
    this.#closesAfter = true;
    if (!this.#isInFlight) this.#drop();
  }

  onProtocolError(): void {
    this.#drop();
    if (this.#isInFlight) this.#finish(networkFailure);
  }

  // The stream.

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (!this.#isInFlight) return;
    if (this.#probe.protocol === "http1" && headers.get("connection")?.toLowerCase().includes("close") === true)
      this.#closesAfter = true;
    this.#probe.onHeaders(headers);
    if (endStream) this.#finish(this.#probe.judge());
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (!this.#isInFlight) return;
    this.#probe.onData(chunk);
    if (endStream) this.#finish(this.#probe.judge());
  }

  onTrailers(trailers: HeaderMap): void {
    if (!this.#isInFlight) return;
    this.#probe.onTrailers(trailers);
    this.#finish(this.#probe.judge());
  }

  onReset(): void {
    if (!this.#isInFlight) return;
    if (!this.#reuses) this.#drop();
    this.#finish(networkFailure);
  }

  onWritable(): void {}

  #ask(codec: ClientCodec): void {
    this.#probe.send(codec.newStream(this));
  }

  #finish(outcome: CheckOutcome): void {
    this.#isInFlight = false;
    if (this.#closesAfter) this.#drop();
    this.#environment.onOutcome(outcome);
  }

  #drop(): void {
    this.#generation++;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#codec = undefined;
    connection?.destroy();
  }
}
