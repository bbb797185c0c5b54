/** What looks at the first bytes of a connection: what is settled by some bytes stays so when more arrive. */
import { httpInspector, MAX_CLIENT_HELLO_BYTES, tlsInspector } from "#proxy/listener/inspectors.ts";
import type { AcceptedFacts, Inspection } from "#proxy/listener/listener-filters.ts";
import { PLAIN_PROXY_PROTOCOL, proxyProtocolFilter } from "#proxy/listener/proxy-protocol.ts";
import { createStatsStore } from "#proxy/observability/stats-store.ts";
import type { FuzzTarget } from "../fuzz.ts";
import { same, split } from "./splits.ts";

const scope = createStatsStore().root;
const address = { kind: "ip", address: "10.0.0.1", port: 1 } as const;

function target(name: string, rest: Pick<FuzzTarget, "seeds" | "dictionary">, inspect: Inspect): FuzzTarget {
  return {
    name,
    ...rest,
    run(bytes) {
      const [first = bytes] = split(bytes);
      const early = look(inspect, first);
      const late = look(inspect, bytes);
      if (early.verdict !== "more") same(early, late, name);
      if (typeof late.verdict === "number" && (late.verdict < 0 || late.verdict > bytes.length))
        throw new Error(`${late.verdict} bytes of ${bytes.length} are taken`);
    },
  };
}

type Inspect = (bytes: Buffer, facts: AcceptedFacts) => Inspection;

function look(inspect: Inspect, bytes: Buffer): { readonly verdict: Inspection; readonly facts: unknown } {
  const told: unknown[] = [];
  const facts: AcceptedFacts = {
    setMetadata: (...parts) => void told.push(parts),
    readdress: (remote) => void told.push(remote),
    localAddress: address,
    isLocalAddressRestored: false,
    remoteAddress: address,
    directRemoteAddress: address,
    transportProtocol: "",
    serverName: "",
    applicationProtocols: [],
    filterState: new Map(),
    dynamicMetadata: new Map(),
  };
  const verdict = inspect(Buffer.from(bytes), facts);
  return { verdict, facts: [facts, [...facts.filterState.keys()], told] };
}

const needed = (inspect: Inspect | undefined): Inspect => {
  if (inspect === undefined) throw new Error("it inspects nothing");
  return inspect;
};

const signature = "\r\n\r\n\0\r\nQUIT\n";
const version2 = `${signature}\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x00\x02`;

export const proxyProtocol: FuzzTarget = target(
  "proxy-protocol",
  {
    dictionary: [
      signature,
      "PROXY ",
      "TCP4 ",
      "TCP6 ",
      "UNKNOWN",
      "1.2.3.4 ",
      "::1 ",
      "65535",
      "\r\n",
      "\x21\x11\x00",
      "\x20\x00\x00\x00",
      "\xea\x00\x02",
    ],
    seeds: ["PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY UNKNOWN\r\n", version2, `${signature}\x20\x00\x00\x00`].map(
      (text) => Buffer.from(text, "latin1"),
    ),
  },
  needed(proxyProtocolFilter(PLAIN_PROXY_PROTOCOL, scope).inspect),
);

/** A ClientHello for `a.b` that offers `h2`. */
const extensions = Buffer.from("000000080006000003612e62" + "001000050003026832", "hex");
const hello = Buffer.concat([
  Buffer.from("0303", "hex"),
  Buffer.alloc(32, 7),
  Buffer.from("00000213010100", "hex"),
  Buffer.of(0, extensions.length),
  extensions,
]);
const handshake = Buffer.concat([Buffer.of(1, 0, 0, hello.length), hello]);
const record = Buffer.concat([Buffer.of(22, 3, 1, 0, handshake.length), handshake]);

export const tls: FuzzTarget = target(
  "tls-inspector",
  {
    dictionary: ["\x16\x03\x01", "\x01\x00", "\x00\x00", "\x00\x10", "\x02h2", "\x00\x03a.b"],
    seeds: [record, record.subarray(0, 40)],
  },
  needed(tlsInspector({ maxClientHelloBytes: MAX_CLIENT_HELLO_BYTES, closesOnParseError: true }, scope).inspect),
);

export const http: FuzzTarget = target(
  "http-inspector",
  {
    dictionary: ["GET ", " HTTP/1.1", " HTTP/1.0", "\r\n", "PRI * HTTP/2.0", "SM", "/"],
    seeds: ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03"].map((text) =>
      Buffer.from(text, "latin1"),
    ),
  },
  needed(httpInspector(scope).inspect),
);
