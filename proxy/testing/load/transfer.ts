/** One request whose body, or whose answer's, is long: sent or read piece by piece, at the pace of whoever asks. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { ClientCodec, StreamDecoder, StreamEncoder } from "#proxy/http/codec.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { FieldNames } from "#proxy/http/http1/field-names.ts";
import { createHttp1ClientCodec, defaultHttp1ClientOptions } from "#proxy/http/http1/client-codec.ts";
import { createHttp2ClientCodec, defaultHttp2ClientOptions } from "#proxy/http/http2/client-codec.ts";
import { createHttp2Shared } from "#proxy/http/http2/options.ts";
import { piece } from "./streaming-origin.ts";

export type TransferProtocol = "http1" | "http2";

export interface Transfer {
  /** Bytes of the body so far: read by us, or taken from us. */
  readonly bytes: number;
  /** The answer is complete: its status, and its body unless it was the long one. Rejects when the stream is reset. */
  readonly done: Promise<{ readonly status: string; readonly text: string }>;
  /** Stops and starts reading the answer. */
  hold(isHeld: boolean): void;
  close(): void;
}

/** Reads `/bytes/<length>`. */
export async function download(
  runtime: Runtime,
  port: number,
  protocol: TransferProtocol,
  length: number,
): Promise<Transfer> {
  const client = await open(runtime, port, protocol);
  return new RunningTransfer(client, "GET", `/bytes/${length}`, 0, true);
}

/** Sends `length` bytes; the answer says how many arrived. */
export async function upload(
  runtime: Runtime,
  port: number,
  protocol: TransferProtocol,
  length: number,
): Promise<Transfer> {
  const client = await open(runtime, port, protocol);
  return new RunningTransfer(client, "POST", "/upload", length, false);
}

interface Client {
  readonly connection: Connection;
  readonly codec: ClientCodec;
}

function open(runtime: Runtime, port: number, protocol: TransferProtocol): Promise<Client> {
  return new Promise((resolve, reject) => {
    const address = { kind: "ip", address: "127.0.0.1", port } as const;
    const connection = runtime.network.connect(
      { address },
      {
        onConnect() {
          const codec = codecOn(connection, protocol, runtime);
          connection.handler = {
            onData: (chunk) => codec.onData(chunk),
            onDrain: () => codec.onDrain(),
            onClose: (error) => codec.onClose(error !== undefined),
          };
          resolve({ connection, codec });
        },
        onData() {},
        onClose: (error) => reject(error ?? new Error("closed")),
      },
    );
  });
}

function codecOn(connection: Connection, protocol: TransferProtocol, { clock }: Runtime): ClientCodec {
  const handler = { onStreamEnd() {}, onGoAway() {}, onProtocolError() {} };
  return protocol === "http1"
    ? createHttp1ClientCodec(connection, handler, defaultHttp1ClientOptions(new FieldNames()))
    : createHttp2ClientCodec(connection, handler, { ...defaultHttp2ClientOptions, shared: createHttp2Shared(), clock });
}

class RunningTransfer implements Transfer, StreamDecoder {
  bytes = 0;
  readonly done: Transfer["done"];
  readonly #client: Client;
  readonly #encoder: StreamEncoder;
  readonly #readsLong: boolean;
  #settle: { resolve(answer: { status: string; text: string }): void; reject(error: Error): void } | undefined;
  #status = "";
  #text = "";
  #left: number;

  constructor(client: Client, method: string, path: string, length: number, readsLong: boolean) {
    this.#client = client;
    this.#left = length;
    this.#readsLong = readsLong;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Who asks later must not be too late.
    this.done.catch(() => {});
    this.#encoder = client.codec.newStream(this);
    const headers = HeaderMap.of({ ":method": method, ":scheme": "http", ":path": path, ":authority": "load" });
    if (length > 0) headers.add("content-length", String(length));
    this.#encoder.sendHeaders(headers, length === 0);
    this.onWritable();
  }
  hold(isHeld: boolean): void {
    this.#encoder.setReadDisabled(isHeld);
  }
  close(): void {
    this.#client.connection.destroy();
  }
  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#status = String(headers.status);
    if (endStream) this.#end();
  }
  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#readsLong) this.bytes += chunk.length;
    else this.#text += chunk.toString("latin1");
    if (endStream) this.#end();
  }
  onTrailers(): void {
    this.#end();
  }
  onReset(reason: string): void {
    this.#settle?.reject(new Error(reason));
  }
  onWritable(): void {
    let takesMore = true;
    while (takesMore && this.#left > 0) {
      const length = Math.min(piece.length, this.#left);
      this.#left -= length;
      this.bytes += length;
      takesMore = this.#encoder.sendData(piece.subarray(0, length), this.#left === 0);
    }
  }
  #end(): void {
    this.#settle?.resolve({ status: this.#status, text: this.#text });
    this.close();
  }
}
