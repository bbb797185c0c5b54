/** Clients of both proxies: raw HTTP/1.1, and HTTP/2 by Node. */
import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import type { Http2Exchange, RawExchange } from "./case.ts";
import { limitMs, playSteps, Received } from "./steps.ts";

/** Everything that came back, as it came; `(closed)` when the proxy ended the connection before all had come. */
export async function exchangeRaw(
  { steps, responses = 1, untilClosed = false }: RawExchange,
  open: () => Socket,
): Promise<string> {
  const socket = open();
  const received = new Received();
  socket.setNoDelay(true);
  socket.on("data", (chunk) => received.add(chunk.toString("latin1")));
  socket.on("error", () => received.close());
  socket.on("close", () => received.close());
  socket.on("end", () => received.close());
  const methods = steps
    .filter((step) => typeof step === "string")
    .flatMap((text) => [...text.matchAll(/^([A-Z]+) [^\r\n]* HTTP\/1\.[01]\r$/gm)].map(([, method]) => method ?? ""));
  const count = (): number => completeResponses(received.text, methods);
  await playSteps(socket, steps, received, count);
  await received.until(() => !untilClosed && (socket.destroyed || count() >= responses));
  const isShort = received.isClosed && count() < responses;
  socket.destroy();
  return `${tidy(received.text, methods)}${untilClosed || isShort ? (received.isClosed ? "(closed)" : "(nothing more)") : ""}`;
}

/** How many final responses with all of their bodies a text begins with. */
function completeResponses(text: string, methods: readonly string[]): number {
  let count = 0;
  for (let at = 0; ; count++) {
    const end = responseEnd(text, at, methods[count] ?? "GET");
    if (end === undefined) return count;
    at = end;
  }
}

function responseEnd(text: string, start: number, method: string): number | undefined {
  const headEnd = text.indexOf("\r\n\r\n", start);
  if (headEnd < 0) return undefined;
  const head = text.slice(start, headEnd + 2);
  const status = Number(head.slice(9, 12));
  const body = headEnd + 4;
  if (status === 101) return text.length;
  if (status < 200) return responseEnd(text, body, method);
  if (method === "HEAD" || status === 204 || status === 304) return body;
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return chunksEnd(text, body);
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1];
  if (length === undefined) return undefined; // until the connection's end
  return text.length >= body + Number(length) ? body + Number(length) : undefined;
}

function chunksEnd(text: string, start: number): number | undefined {
  for (let at = start; ;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (size === 0) {
      const end = text.indexOf("\r\n\r\n", lineEnd);
      return end < 0 ? undefined : end + 4;
    }
    at = lineEnd + 2 + size + 2;
    if (at > text.length) return undefined;
  }
}

/** Chunked bodies without their cuts, which are nobody's promise. */
function tidy(text: string, methods: readonly string[]): string {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0 || methods.length > 1 || !/\r\ntransfer-encoding: chunked\r\n/i.test(text.slice(0, head + 2)))
    return text;
  let body = "";
  for (let at = head + 4; ;) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (lineEnd < 0 || Number.isNaN(size)) return `${text.slice(0, head + 4)}(chunks) ${body}(no end)`;
    if (size === 0) return `${text.slice(0, head + 4)}(chunks) ${body}(end) ${text.slice(lineEnd + 2)}`;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

export function openPlain(port: number): Socket {
  return connect({ host: "127.0.0.1", port, allowHalfOpen: true });
}

/** Head, body, trailers, or the code of the reset. */
export function exchangeHttp2(exchange: Http2Exchange, open: () => Socket): Promise<string> {
  return new Promise((resolve) => {
    const session = http2.connect("http://localhost", { createConnection: open });
    let text = "";
    const finish = (more: string): void => {
      clearTimeout(timer);
      session.destroy();
      resolve(text + more);
    };
    const timer = setTimeout(() => finish("(nothing more)"), limitMs);
    session.on("error", () => finish("(connection error)"));
    session.on("goaway", (code) => code !== 0 && (text += `(goaway ${code})`));
    const { body, trailers } = exchange;
    const hasMore = body !== undefined || trailers !== undefined;
    const stream = session.request(exchange.headers as http2.OutgoingHttpHeaders, {
      endStream: !hasMore,
      waitForTrailers: trailers !== undefined,
    });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
    stream.on("headers", (headers, _flags, fields) => (text += headText(headers, fields as unknown as string[])));
    stream.on("response", (headers, _flags, fields) => (text += headText(headers, fields as unknown as string[])));
    stream.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    stream.on(
      "trailers",
      (headers, _flags, fields) => (text += `\r\n${headText(headers, fields as unknown as string[])}`),
    );
    stream.on("error", () => {});
    stream.on("close", () => finish(stream.rstCode === 0 ? "" : `(reset ${stream.rstCode})`));
    if (hasMore) stream.end(body ?? "", "latin1");
  });
}

function headText(headers: object, fields: readonly string[] | undefined): string {
  if (fields === undefined) return `${JSON.stringify(headers)}\r\n`;
  let text = "";
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return `${text}\r\n`;
}
