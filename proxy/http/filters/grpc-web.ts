/** `envoy.filters.http.grpc_web`: gRPC for browsers, as bytes or as base64 text, to gRPC and back. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import { grpcStatusFromHttp, isGrpcContentType } from "../../observability/grpc-status.ts";
import type {
  BodyStatus,
  FilterStatus,
  FilterStream,
  HeadersStatus,
  HttpFilter,
  HttpFilterFactory,
} from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";
import { FrameText } from "./grpc-frame-text.ts";

const BINARY: ReadonlySet<string> = new Set(["application/grpc-web", "application/grpc-web+proto"]);
const TEXT: ReadonlySet<string> = new Set(["application/grpc-web-text", "application/grpc-web-text+proto"]);
/** Of an answer that is not gRPC, as much becomes its message. */
const MAX_MESSAGE_BYTES = 16_384;
const TRAILER_FLAG = 0x80;

export const grpcWeb: HttpFilterFactory<null> = {
  name: "envoy.filters.http.grpc_web",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"],
  parse(message, path) {
    const problems: Problem[] = [];
    new MessageReader(message, path, problems).finish();
    return { value: null, problems };
  },
  create: () => (stream) => {
    const type = stream.requestHeaders.get("content-type");
    return type !== undefined && (BINARY.has(type) || TEXT.has(type)) ? new GrpcWebFilter(stream) : undefined;
  },
};

interface ForeignAnswer {
  readonly headers: HeaderMap;
  readonly chunks: Buffer[];
  bytes: number;
}

class GrpcWebFilter implements HttpFilter {
  readonly #stream: FilterStream;
  #isTextRequest = false;
  #isTextResponse = false;
  /** Fewer than four characters of base64. */
  #rest: Buffer = Buffer.alloc(0);
  /** A response that is no gRPC: its headers wait for the body, which becomes the message. */
  #foreign: ForeignAnswer | undefined = undefined;
  readonly #frames = new FrameText();
  #isCharged = false;

  constructor(stream: FilterStream) {
    this.#stream = stream;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    // Answers of the proxy are plain ones, which this filter turns into gRPC-Web.
    this.#stream.isAnsweredAsGrpc = false;
    headers.remove("content-length");
    this.#isTextRequest = TEXT.has(headers.get("content-type") ?? "");
    headers.set("content-type", "application/grpc");
    this.#isTextResponse = TEXT.has(headers.get("accept") ?? "");
    headers.set("te", "trailers");
    if (!headers.has("grpc-accept-encoding")) headers.set("grpc-accept-encoding", "identity");
    return "continue";
  }

  decodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    if (!this.#isTextRequest) return "continue";
    const all = Buffer.concat([this.#rest, chunk]);
    if (endStream && all.length === 0) return "continue";
    if (endStream && all.length % 4 !== 0) return this.#refuse("grpc_base_64_decode_failed_bad_size");
    const whole = all.length - (all.length % 4);
    this.#rest = Buffer.from(all.subarray(whole));
    if (whole === 0) return "consume";
    const decoded = decodeBase64(all.subarray(0, whole));
    if (decoded === undefined) return this.#refuse("grpc_base_64_decode_failed");
    this.#stream.passDecodedData(this, decoded, endStream);
    return "consume";
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): HeadersStatus {
    this.#charge(headers);
    const type = headers.get("content-type");
    const isForeign = !isGrpcResponse(headers, type, endStream) && !(headers.status === 200 && isGrpcWeb(type));
    headers.remove("content-length");
    headers.set(
      "content-type",
      this.#isTextResponse ? "application/grpc-web-text+proto" : "application/grpc-web+proto",
    );
    if (endStream || !isForeign) return "continue";
    this.#foreign = { headers, chunks: [], bytes: 0 };
    return "hold";
  }

  encodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    if (this.#foreign !== undefined) return this.#gather(this.#foreign, chunk, endStream);
    if (!this.#isTextResponse) return "continue";
    const text = this.#frames.write(chunk);
    if (text !== "" || endStream) this.#stream.passEncodedData(this, Buffer.from(text, "latin1"), endStream);
    return "consume";
  }

  encodeTrailers(trailers: HeaderMap): BodyStatus {
    this.#charge(trailers);
    if (this.#foreign !== undefined) {
      this.#finishForeign(this.#foreign);
      return "continue";
    }
    let text = "";
    for (const [name, value] of trailers.entries()) text += `${name}:${value}\r\n`;
    const frame = Buffer.alloc(5 + text.length);
    frame.writeUInt8(TRAILER_FLAG);
    frame.writeUInt32BE(text.length, 1);
    frame.write(text, 5, "latin1");
    // They are in the body now: nothing reads them as trailers any more.
    for (const name of new Set(trailers.names)) trailers.remove(name);
    this.#stream.passEncodedData(this, this.#isTextResponse ? Buffer.from(frame.toString("base64")) : frame, true);
    return "consume";
  }

  #refuse(details: string): BodyStatus {
    this.#stream.sendLocalReply({ status: 400, body: "Bad gRPC-web request, invalid base64 data.", details });
    return "consume";
  }

  #gather(foreign: ForeignAnswer, chunk: Buffer, endStream: boolean): BodyStatus {
    // A body that comes in one piece is kept whole, as in Envoy.
    if (foreign.bytes < MAX_MESSAGE_BYTES || foreign.chunks.length === 0) {
      foreign.chunks.push(Buffer.from(chunk));
      foreign.bytes += chunk.length;
    }
    if (!endStream) return "consume";
    this.#finishForeign(foreign);
    this.#stream.continueEncoding();
    this.#stream.passEncodedData(this, Buffer.alloc(0), true);
    return "consume";
  }

  #finishForeign({ headers, chunks }: ForeignAnswer): void {
    const body = Buffer.concat(chunks);
    const message = chunks.length > 1 ? body.subarray(0, MAX_MESSAGE_BYTES) : body;
    headers.set("grpc-message", percentEncoded(message.toString("latin1")));
    headers.set("grpc-status", String(grpcStatusFromHttp(headers.status)));
    headers.set("content-length", "0");
    this.#foreign = undefined;
  }

  /** `grpc-web.<service>.<method>.` of the cluster. */
  #charge(headers: HeaderMap): void {
    const status = headers.get("grpc-status");
    const scope = this.#stream.info.cluster?.scope;
    if (status === undefined || scope === undefined || this.#isCharged || !/^\d{1,3}$/.test(status)) return;
    const [, service, method, rest] = (this.#stream.requestHeaders.path.split("?")[0] as string).split("/");
    if (service === undefined || method === undefined || rest !== undefined) return;
    this.#isCharged = true;
    const prefix = `grpc-web.${service}.${method}.`;
    scope.counter(`${prefix}${status}`).inc();
    scope.counter(`${prefix}${status === "0" ? "success" : "failure"}`).inc();
    scope.counter(`${prefix}total`).inc();
  }
}

function isGrpcResponse(headers: HeaderMap, type: string | undefined, endStream: boolean): boolean {
  if (endStream) return headers.has("grpc-status");
  return headers.status === 200 && isGrpcContentType(type);
}

function isGrpcWeb(type: string | undefined): boolean {
  return type !== undefined && BINARY.has((type.split(";")[0] as string).trimEnd().toLowerCase());
}

/** Undefined: it is no base64, which ends where its padding does. */
function decodeBase64(text: Buffer): Buffer | undefined {
  const characters = text.toString("latin1");
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(characters)) return undefined;
  return Buffer.from(characters, "base64");
}

// oxlint-disable-next-line no-control-regex -- controls are among what is encoded
const unprintable = /[\x00-\x1f\x7f-\xff%]/g;

function percentEncoded(bytes: string): string {
  return bytes.replace(unprintable, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
