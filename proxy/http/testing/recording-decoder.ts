/** A decoder that writes down what it hears, body pieces joined. */
import type { ResetReason, StreamDecoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";

export class RecordingDecoder implements StreamDecoder {
  readonly events: string[] = [];
  #body = "";

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.events.push(`headers ${JSON.stringify(headers.entries())}${endStream ? " end" : ""}`);
  }
  onInformational(headers: HeaderMap): void {
    this.events.push(`informational ${headers.status}`);
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.#body += chunk.toString("latin1");
    if (endStream) this.events.push(`body ${JSON.stringify(this.#body)} end`);
  }
  onTrailers(trailers: HeaderMap): void {
    this.events.push(`body ${JSON.stringify(this.#body)}`, `trailers ${JSON.stringify(trailers.entries())}`);
  }
  onReset(reason: ResetReason, details: string): void {
    this.events.push(`reset ${reason} ${details}`.trimEnd());
  }
  onWritable(): void {}
}
