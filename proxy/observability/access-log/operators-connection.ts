/** Operators over connections: addresses, hosts, clusters, TLS. */
import { createHash, X509Certificate } from "node:crypto";
import { formatAddress, type PeerCertificate, type SocketAddress, type TlsInfo } from "#lib/connection.ts";
import { asBytes, orMissing, plain, type Operator, type OperatorTable, type Value } from "./operator.ts";
import { compileTimeFormat } from "./time-format.ts";
import type { FormatContext } from "./types.ts";

type AddressOf = (context: FormatContext) => SocketAddress | undefined;
type TlsOf = (context: FormatContext) => TlsInfo | undefined;

const downstreamTls: TlsOf = ({ info }) => info.connection?.tls;
const upstreamTls: TlsOf = ({ info }) => info.upstreamConnection?.tls;

/** Operators that read the downstream and the upstream connection. */
export const connectionOperators: OperatorTable = {
  UPSTREAM_HOST: plain(({ info }) => info.upstreamHost?.addressText),
  UPSTREAM_HOST_NAME: plain(({ info }) => orMissing(info.upstreamHost?.hostname) ?? info.upstreamHost?.addressText),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: plain(({ info }) =>
    textWithoutPort(orMissing(info.upstreamHost?.hostname) ?? info.upstreamHost?.addressText),
  ),
  UPSTREAM_CLUSTER: plain(({ info }) => bytes(info.cluster?.observabilityName)),
  UPSTREAM_CLUSTER_RAW: plain(({ info }) => bytes(info.cluster?.name)),
  ...addresses("UPSTREAM_LOCAL", ({ info }) => info.upstreamConnection?.localAddress),
  ...addresses("UPSTREAM_REMOTE", ({ info }) => info.upstreamConnection?.remoteAddress ?? info.upstreamHost?.address),
  ...addresses("DOWNSTREAM_LOCAL", ({ info }) => info.downstreamLocalAddress ?? info.connection?.localAddress),
  ...addresses("DOWNSTREAM_DIRECT_LOCAL", ({ info }) => info.connection?.localAddress),
  ...addresses(
    "DOWNSTREAM_DIRECT_REMOTE",
    ({ info }) => info.connection?.directRemoteAddress ?? info.connection?.remoteAddress,
  ),
  DOWNSTREAM_REMOTE_ADDRESS: plain(remoteAddress),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: plain((context) => textWithoutPort(remoteAddress(context))),
  DOWNSTREAM_REMOTE_PORT: plain((context) => portOf(remoteAddress(context))),
  CONNECTION_ID: plain(({ info }) => info.connection?.id ?? 0),
  UPSTREAM_CONNECTION_ID: plain(({ info }) => info.upstreamConnection?.id),
  ...tls("DOWNSTREAM", downstreamTls),
  ...tls("UPSTREAM", upstreamTls),
  DOWNSTREAM_LOCAL_SUBJECT: certificate(
    (context) => downstreamTls(context)?.local,
    ({ subject }) => subject,
  ),
  DOWNSTREAM_PEER_FINGERPRINT_256: certificate(peer(downstreamTls), ({ sha256 }) => sha256),
  DOWNSTREAM_PEER_FINGERPRINT_1: certificate(peer(downstreamTls), ({ der }) =>
    createHash("sha1").update(der).digest("hex"),
  ),
  DOWNSTREAM_PEER_SERIAL: certificate(peer(downstreamTls), ({ serialNumber }) => serialNumber),
};

function addresses(prefix: string, address: AddressOf): OperatorTable {
  return {
    [`${prefix}_ADDRESS`]: plain((context) => {
      const found = address(context);
      return found === undefined ? undefined : formatAddress(found);
    }),
    [`${prefix}_ADDRESS_WITHOUT_PORT`]: plain((context) => {
      const found = address(context);
      return found?.kind === "ip" ? found.address : found?.path;
    }),
    [`${prefix}_PORT`]: plain((context) => {
      const found = address(context);
      return found?.kind === "ip" ? found.port : undefined;
    }),
  };
}

function remoteAddress({ info }: FormatContext): string | undefined {
  if (info.downstreamRemoteAddress !== "") return info.downstreamRemoteAddress;
  return info.connection === undefined ? undefined : formatAddress(info.connection.remoteAddress);
}

const PORT = /:(\d+)$/;

function textWithoutPort(text: string | undefined): string | undefined {
  if (text === undefined || text.startsWith("/")) return text;
  if (text.startsWith("[")) return text.slice(1, text.indexOf("]"));
  return text.replace(PORT, "");
}

function portOf(text: string | undefined): number | undefined {
  const port = PORT.exec(text ?? "")?.[1];
  return port === undefined ? undefined : Number(port);
}

function tls(side: "DOWNSTREAM" | "UPSTREAM", info: TlsOf): OperatorTable {
  const remote = peer(info);
  const local = (context: FormatContext): PeerCertificate | undefined => info(context)?.local;
  return {
    [`${side}_TLS_VERSION`]: plain((context) => info(context)?.version),
    [`${side}_TLS_CIPHER`]: plain((context) => info(context)?.cipher),
    [`${side}_PEER_SUBJECT`]: certificate(remote, ({ subject }) => subject),
    [`${side}_PEER_ISSUER`]: certificate(remote, ({ issuer }) => issuer),
    [`${side}_PEER_CERT`]: certificate(remote, ({ der }) => encodeURIComponent(pemFromDer(der))),
    [`${side}_PEER_CERT_V_START`]: validity(remote, ({ validFromMs }) => validFromMs),
    [`${side}_PEER_CERT_V_END`]: validity(remote, ({ validToMs }) => validToMs),
    ...sans(`${side}_PEER`, remote),
    ...sans(`${side}_LOCAL`, local),
  };
}

function sans(prefix: string, of: (context: FormatContext) => PeerCertificate | undefined): OperatorTable {
  return {
    [`${prefix}_URI_SAN`]: certificate(of, ({ uriSans }) => uriSans.join(",")),
    [`${prefix}_DNS_SAN`]: certificate(of, ({ dnsSans }) => dnsSans.join(",")),
    [`${prefix}_IP_SAN`]: certificate(of, ({ der }) => otherSans(der, "IP Address")),
    [`${prefix}_EMAIL_SAN`]: certificate(of, ({ der }) => otherSans(der, "email")),
  };
}

function peer(info: TlsOf): (context: FormatContext) => PeerCertificate | undefined {
  return (context) => info(context)?.peer;
}

function certificate(
  of: (context: FormatContext) => PeerCertificate | undefined,
  read: (found: PeerCertificate) => string,
): Operator {
  return plain((context): Value => {
    const found = of(context);
    return found === undefined ? undefined : bytes(orMissing(read(found)));
  });
}

function validity(
  of: (context: FormatContext) => PeerCertificate | undefined,
  read: (found: PeerCertificate) => number,
): Operator {
  return {
    parameters: "optional",
    length: false,
    compile(args) {
      const format = compileTimeFormat(args, "utc");
      if (format === undefined) return "would print a line break";
      return (context) => {
        const found = of(context);
        return found === undefined ? undefined : format(read(found));
      };
    },
  };
}

function otherSans(der: Uint8Array, kind: string): string {
  const names = new X509Certificate(der).subjectAltName ?? "";
  return names
    .split(", ")
    .filter((name) => name.startsWith(`${kind}:`))
    .map((name) => name.slice(kind.length + 1))
    .join(",");
}

function pemFromDer(der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replaceAll(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}${lines.endsWith("\n") ? "" : "\n"}-----END CERTIFICATE-----\n`;
}

function bytes(text: string | undefined): string | undefined {
  return text === undefined ? undefined : asBytes(text);
}
