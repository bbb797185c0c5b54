/** Reading a TLS ClientHello by hand (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301): server name and protocols, nothing more. */

export interface ClientHello {
  /** Lower case; "" when there is none. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

export type ClientHelloResult =
  | { readonly kind: "hello"; readonly hello: ClientHello }
  /** So far it may become one. */
  | { readonly kind: "incomplete" }
  | { readonly kind: "not-tls" }
  /** It began as TLS and is none. */
  | { readonly kind: "malformed" };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const MAX_RECORD = 16_384 + 256;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;

/**
 * Looks at the first bytes of a connection. The message may be spread over several records, and over any number of
 * reads: call again with everything that has arrived.
 */
export function parseClientHello(bytes: Buffer): ClientHelloResult {
  if (bytes.length === 0) return { kind: "incomplete" };
  if (bytes[0] !== HANDSHAKE) return { kind: "not-tls" };
  if (bytes.length >= 2 && bytes[1] !== 3) return { kind: "not-tls" };
  const message = handshakeMessage(bytes);
  if (typeof message === "string") return { kind: message };
  const hello = readHello(message);
  return hello === undefined ? { kind: "malformed" } : { kind: "hello", hello };
}

/** The first handshake message with its records' headers taken out. */
function handshakeMessage(bytes: Buffer): Buffer | "incomplete" | "not-tls" | "malformed" {
  const parts: Buffer[] = [];
  let have = 0;
  let need = 4;
  for (let at = 0; at + 5 <= bytes.length;) {
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== 3) return "malformed";
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_RECORD) return "malformed";
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    at += 5 + length;
    if (have < 4) continue;
    const head = parts.length === 1 ? part : Buffer.concat(parts);
    if (head[0] !== CLIENT_HELLO) return "not-tls";
    need = 4 + head.readUIntBE(1, 3);
    if (have >= need) return head.subarray(4, need);
  }
  return "incomplete";
}

/** Undefined when a length does not fit. */
function readHello(message: Buffer): ClientHello | undefined {
  // version, random, session id, cipher suites, compression methods
  let at = 2 + 32;
  if (at + 1 > message.length) return undefined;
  at += 1 + (message[at] as number);
  if (at + 2 > message.length) return undefined;
  at += 2 + message.readUInt16BE(at);
  if (at + 1 > message.length) return undefined;
  at += 1 + (message[at] as number);
  if (at === message.length) return { serverName: "", alpn: [] };
  if (at + 2 > message.length) return undefined;
  const end = at + 2 + message.readUInt16BE(at);
  if (end !== message.length) return undefined;
  at += 2;
  let serverName = "";
  let alpn: readonly string[] = [];
  while (at < end) {
    if (at + 4 > end) return undefined;
    const type = message.readUInt16BE(at);
    const body = message.subarray(at + 4, at + 4 + message.readUInt16BE(at + 2));
    at += 4 + message.readUInt16BE(at + 2);
    if (at > end) return undefined;
    if (type === EXTENSION_SERVER_NAME) {
      const name = readServerName(body);
      if (name === undefined) return undefined;
      serverName = name;
    } else if (type === EXTENSION_ALPN) {
      const protocols = readAlpn(body);
      if (protocols === undefined) return undefined;
      alpn = protocols;
    }
  }
  return { serverName, alpn };
}

function readServerName(body: Buffer): string | undefined {
  if (body.length < 2 || body.readUInt16BE(0) !== body.length - 2) return undefined;
  for (let at = 2; at < body.length;) {
    if (at + 3 > body.length) return undefined;
    const length = body.readUInt16BE(at + 1);
    if (at + 3 + length > body.length) return undefined;
    // Bytes of a peer: kept only if they can be a host name, so that nothing is smuggled into a log.
    if (body[at] === 0) {
      const name = body.toString("latin1", at + 3, at + 3 + length).toLowerCase();
      return /^[\x21-\x7e]+$/.test(name) ? name : undefined;
    }
    at += 3 + length;
  }
  return "";
}

function readAlpn(body: Buffer): string[] | undefined {
  if (body.length < 2 || body.readUInt16BE(0) !== body.length - 2) return undefined;
  const protocols: string[] = [];
  for (let at = 2; at < body.length;) {
    const length = body[at] as number;
    if (length === 0 || at + 1 + length > body.length) return undefined;
    protocols.push(body.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return protocols;
}
