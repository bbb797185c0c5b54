/** `envoy.filters.http.buffer`: a request goes on only when all of it is there. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  Buffer as BufferMessage,
  BufferPerRoute,
} from "#protos/gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.js";
import type { BodyStatus, FilterStream, HeadersStatus, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

export interface BufferConfig {
  /** Beyond it: 413. Undefined: the filter does nothing. */
  readonly maxRequestBytes: number | undefined;
}

export const buffer: HttpFilterFactory<BufferConfig, BufferConfig> = {
  name: "envoy.filters.http.buffer",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute"],
  parse(message, path) {
    const problems: Problem[] = [];
    const value = parseBuffer(new MessageReader(message as BufferMessage, path, problems));
    return problems.length > 0 ? { problems } : { value, problems };
  },
  parseRoute,
  create: (config, _context, name) => (stream) => {
    const { maxRequestBytes } = stream.routeConfig<BufferConfig>(name) ?? config;
    return maxRequestBytes === undefined ? undefined : new BufferFilter(maxRequestBytes, stream);
  },
};

class BufferFilter implements HttpFilter {
  readonly #maxBytes: number;
  readonly #stream: FilterStream;
  #headers: HeaderMap | undefined = undefined;
  #bytes = 0;

  constructor(maxBytes: number, stream: FilterStream) {
    this.#maxBytes = maxBytes;
    this.#stream = stream;
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): HeadersStatus {
    if (endStream) return "continue";
    this.#headers = headers;
    this.#stream.setDecoderBufferLimit(this.#maxBytes);
    return "hold";
  }

  decodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    this.#bytes += chunk.length;
    if (!endStream || this.#bytes > this.#maxBytes) return "stop";
    this.#setLength();
    return "continue";
  }

  decodeTrailers(): BodyStatus {
    this.#setLength();
    return "continue";
  }

  #setLength(): void {
    if (this.#headers?.has("content-length") === false) this.#headers.set("content-length", String(this.#bytes));
  }
}

function parseBuffer(reader: MessageReader<BufferMessage>): BufferConfig {
  const maxRequestBytes = reader.get("maxRequestBytes");
  reader.finish();
  return { maxRequestBytes };
}

function parseRoute(message: Message, path: string): Parsed<BufferConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as BufferPerRoute, path, problems);
  const override = reader.get("override");
  reader.finish();
  if (override.case === undefined) reader.invalid("override", "one of disabled and buffer is required");
  const value: BufferConfig =
    override.case === "buffer"
      ? parseBuffer(new MessageReader(override.value, reader.at("override"), problems))
      : { maxRequestBytes: undefined };
  return problems.length > 0 ? { problems } : { value, problems };
}
