/** A server codec over a connection that remembers: what it heard, what it wrote. */
import type { CodecError, ServerCodec, StreamEncoder } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { BulkWriter } from "../http1/bulk-writer.ts";
import { FieldNames } from "../http1/field-names.ts";
import { createHttp1ServerCodec, type Http1ServerOptions } from "../http1/server-codec.ts";
import { RecordingConnection } from "./recording-connection.ts";
import { RecordingDecoder } from "./recording-decoder.ts";

/** Begin of requests to host `a`. */
export const get: string = "GET / HTTP/1.1\r\nHost: a\r\n";
export const post: string = "POST / HTTP/1.1\r\nHost: a\r\n";
export const chunked: string = `${post}Transfer-Encoding: chunked\r\n\r\n`;

const defaults: Http1ServerOptions = {
  names: new FieldNames(),
  bulk: new BulkWriter(),
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  acceptHttp10: false,
  defaultHostForHttp10: "",
  allowAbsoluteUrl: true,
  allowChunkedLength: false,
  allowCustomMethods: false,
  enableTrailers: false,
  headersWithUnderscores: "allow",
};

export interface SeenRequests {
  /** What the decoders heard, and the errors, in order. */
  readonly events: string[];
  readonly connection: RecordingConnection;
  readonly encoders: StreamEncoder[];
  readonly codec: ServerCodec;
  readonly send: (bytes: string) => void;
}

/** `answers`: each complete request is answered at once with 200 and no body. */
export function recordingServer(options: Partial<Http1ServerOptions> = {}, answers = false): SeenRequests {
  const connection = new RecordingConnection();
  const events: string[] = [];
  const encoders: StreamEncoder[] = [];
  const codec = createHttp1ServerCodec(
    connection,
    {
      onStream(encoder) {
        encoders.push(encoder);
        const decoder = new RecordingDecoder();
        const { events: own } = decoder;
        own.push = (...more: string[]) => {
          events.push(...more);
          if (answers && more.some((event) => event.endsWith(" end") || event.startsWith("trailers")))
            reply(encoder, 200);
          return events.length;
        };
        return decoder;
      },
      onProtocolError: (error: CodecError) => void events.push(`error ${error.status} ${error.details}`),
    },
    { ...defaults, ...options },
  );
  return { events, connection, encoders, codec, send: (bytes) => codec.onData(Buffer.from(bytes, "latin1")) };
}

export function reply(
  encoder: StreamEncoder | undefined,
  status: number,
  body = "",
  fields: Record<string, string> = {},
): void {
  const headers = HeaderMap.of({ ...fields });
  headers.status = status;
  encoder?.sendHeaders(headers, body === "");
  if (body !== "") encoder?.sendData(body, true);
}
