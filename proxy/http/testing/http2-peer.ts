/** A peer that speaks HTTP/2 frame by frame, rightly or wrongly, for tests of the codecs. */
import type { Connection } from "#lib/connection.ts";
import { Http2FieldNames } from "../http2/field-name.ts";
import { FrameReader, type FrameSink } from "../http2/frame-reader.ts";
import { ErrorCode, FrameType } from "../http2/frames.ts";
import { HpackDecoder } from "../http2/hpack/decoder.ts";
import { HpackEncoder } from "../http2/hpack/encoder.ts";
import { prefaceText } from "../http2/preface.ts";
import { BufferPool, WriteBuffer } from "../http2/write-buffer.ts";

export type Fields = readonly (readonly [string, string])[];

export const get: Fields = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
];
export const post: Fields = [[":method", "POST"], ...get.slice(1)];

export function frame(type: number, flags: number, id: number, payload: Uint8Array | string = ""): Buffer {
  const body = typeof payload === "string" ? Buffer.from(payload, "latin1") : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => bytes.writeUInt32BE(value, i * 4));
  return bytes;
}

export function settings(...values: readonly (readonly [number, number])[]): Buffer {
  const bytes = Buffer.alloc(values.length * 6);
  values.forEach(([setting, value], i) => {
    bytes.writeUInt16BE(setting, i * 6);
    bytes.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(FrameType.settings, 0, 0, bytes);
}

const errorNames = new Map<number, string>(
  Object.entries(ErrorCode).map(([name, code]): [number, string] => [code, name]),
);

/** Where time passes until nothing more comes. */
export interface Settling {
  readonly settle: () => Promise<void>;
}

/** One end of a connection; `seen` lists what the codec at the other end sent, a line a frame. */
export class Http2Peer implements FrameSink {
  readonly isDead = false;
  seen: string[] = [];
  /** All DATA of each stream. */
  readonly bodies: Map<number, string> = new Map();
  hasEnded = false;
  isClosed = false;
  readonly connection: Connection;
  readonly #world: Settling;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder(4096, new Http2FieldNames());
  readonly #out = new WriteBuffer(new BufferPool());
  #data = "";

  /** `skipsPreface`: this is the server's end. */
  constructor(connection: Connection, world: Settling, skipsPreface: boolean) {
    this.connection = connection;
    this.#world = world;
    const reader = new FrameReader(this);
    let toSkip = skipsPreface ? prefaceText.length : 0;
    connection.handler = {
      onData: (chunk) => {
        const skipped = Math.min(toSkip, chunk.length);
        toSkip -= skipped;
        reader.read(chunk.subarray(skipped));
      },
      onEnd: () => {
        this.hasEnded = true;
      },
      onClose: () => {
        this.isClosed = true;
      },
    };
  }

  /** Sends frames; returns what came in answer. */
  async send(...frames: readonly Buffer[]): Promise<string[]> {
    this.connection.write(Buffer.concat(frames));
    await this.#world.settle();
    return this.take();
  }

  take(): string[] {
    const { seen } = this;
    this.seen = [];
    return seen;
  }

  /** A header block, with the history of this connection. */
  block(fields: Fields): Buffer {
    this.#out.reserve(1);
    for (const [name, value] of fields) {
      if (/^[a-z:]/.test(name) && !rawOnly.has(name)) this.#encoder.field(this.#out, name, value, false);
      else this.#literal(name, value);
    }
    return this.#out.take();
  }

  headers(id: number, fields: Fields, flags = 5): Buffer {
    return frame(FrameType.headers, flags, id, this.block(fields));
  }

  data(id: number, body: string, flags = 1): Buffer {
    return frame(FrameType.data, flags, id, body);
  }

  /** Without the encoder's own mind. */
  #literal(name: string, value: string): void {
    this.#out.reserve(name.length + value.length + 8);
    const { bytes } = this.#out;
    for (const byte of [0, name.length]) bytes[this.#out.length++] = byte;
    this.#out.append(name, 0, name.length);
    bytes[this.#out.length++] = value.length;
    this.#out.append(value, 0, value.length);
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.headers: {
        const fields: string[] = [];
        this.#decoder.decode(bytes, start, end, { onField: (name, value) => fields.push(`${name.name}=${value}`) });
        this.seen.push(`HEADERS ${id} ${fields.join(" ")}${flags & 1 ? " END" : ""}`);
        break;
      }
      case FrameType.rstStream:
        this.seen.push(`RST_STREAM ${id} ${errorNames.get(bytes.readUInt32BE(start))}`);
        break;
      case FrameType.goAway:
        this.seen.push(`GOAWAY ${bytes.readUInt32BE(start)} ${errorNames.get(bytes.readUInt32BE(start + 4))}`);
        break;
      case FrameType.settings:
        this.seen.push(flags & 1 ? "SETTINGS ACK" : "SETTINGS");
        break;
      case FrameType.ping:
        this.seen.push(`PING ${flags & 1 ? "ACK " : ""}${bytes.toString("latin1", start, end)}`);
        break;
      case FrameType.windowUpdate:
        this.seen.push(`WINDOW_UPDATE ${id} ${bytes.readUInt32BE(start)}`);
        break;
      default:
        this.seen.push(`frame ${type} ${id} ${end - start}`);
    }
  }

  #dataLine = "";
  #dataStream = 0;
  onDataStart(id: number, size: number, _padding: number, endStream: boolean): void {
    this.#dataStream = id;
    this.#dataLine = `DATA ${id} ${size}${endStream ? " END" : ""}`;
  }
  onDataPart(chunk: Buffer, isLast: boolean): void {
    const text = chunk.toString("latin1");
    this.#data += text;
    this.bodies.set(this.#dataStream, (this.bodies.get(this.#dataStream) ?? "") + text);
    if (!isLast) return;
    this.seen.push(this.#data.length <= 32 ? `${this.#dataLine} ${this.#data}`.trimEnd() : this.#dataLine);
    this.#data = "";
  }
  onFrameError(code: ErrorCode, message: string): void {
    this.seen.push(`broken ${code} ${message}`);
  }
}

const rawOnly = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"]);
