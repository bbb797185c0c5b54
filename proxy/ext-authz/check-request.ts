/** A request or connection as `envoy.service.auth.v3.CheckRequest` tells of it. */
import type { JsonObject } from "@bufbuild/protobuf";
import type { Connection, PeerCertificate, SocketAddress } from "#lib/connection.ts";
import type { AttributeContext_Peer } from "#protos/gen/envoy/service/auth/v3/attribute_context_pb.js";
import type { CheckRequest } from "#protos/gen/envoy/service/auth/v3/external_auth_pb.js";
import { createMessage } from "#protos/registry.ts";
import type { StreamInfo } from "../stream-info.ts";

/** What the service learns of a request; without `http`: of a connection. */
export interface CheckAttributes {
  readonly info: StreamInfo;
  readonly connection: Connection | undefined;
  readonly source: SocketAddress | undefined;
  readonly destination: SocketAddress | undefined;
  readonly settings: PeerSettings;
  readonly http: CheckedHttp | undefined;
  readonly contextExtensions: Readonly<Record<string, string>>;
  /** Namespace → struct. */
  readonly metadata: Readonly<Record<string, JsonObject>>;
  readonly routeMetadata: Readonly<Record<string, JsonObject>>;
}

export interface PeerSettings {
  readonly hasPeerCertificate: boolean;
  readonly hasTlsSession: boolean;
  readonly destinationLabels: Readonly<Record<string, string>>;
}

/** Strings are one byte a character. */
export interface CheckedHttp {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly protocol: string;
  readonly size: number;
  /** `x-envoy-downstream-service-cluster`. */
  readonly service: string;
  /** Those that may be told, in their order; repeated ones not joined. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | undefined;
  readonly packsBody: boolean;
  readonly sendsRawHeaders: boolean;
}

const NAME = "envoy.service.auth.v3.CheckRequest";

export function checkRequestOf(attributes: CheckAttributes): CheckRequest {
  const { info, connection, settings, http, contextExtensions, metadata, routeMetadata } = attributes;
  const { tls } = connection ?? {};
  return createMessage<CheckRequest>(NAME, {
    attributes: {
      source: {
        ...peer(attributes.source, tls?.peer),
        service: http?.service ?? "",
        certificate: settings.hasPeerCertificate && tls?.peer !== undefined ? urlEncodedPem(tls.peer.der) : "",
      },
      destination: { ...peer(attributes.destination, tls?.local), labels: { ...settings.destinationLabels } },
      ...(http !== undefined && {
        request: {
          time: { seconds: BigInt(Math.floor(info.startTimeMs / 1000)), nanos: (info.startTimeMs % 1000) * 1_000_000 },
          http: httpRequest(http),
        },
        routeMetadataContext: { filterMetadata: routeMetadata },
      }),
      contextExtensions: { ...contextExtensions },
      metadataContext: { filterMetadata: metadata },
      ...(settings.hasTlsSession && { tlsSession: { sni: tls?.sni ?? "" } }),
    },
  });
}

/** Text of one-byte characters that are UTF-8; what is not becomes `!`, as in Envoy. */
function utf8(text: string): string {
  const bytes = Buffer.from(text, "latin1");
  return bytes.toString("utf8").replaceAll("\ufffd", "!");
}

function httpRequest(http: CheckedHttp): object {
  const { body, packsBody, sendsRawHeaders, headers } = http;
  const joined: Record<string, string> = {};
  for (const [name, value] of headers) {
    const before = joined[name];
    joined[name] = before === undefined ? utf8(value) : `${before},${utf8(value)}`;
  }
  return {
    id: http.id,
    method: utf8(http.method),
    path: utf8(http.path),
    host: utf8(http.host),
    scheme: http.scheme,
    size: BigInt(http.size),
    protocol: http.protocol,
    ...(sendsRawHeaders
      ? {
          headerMap: {
            headers: headers.map(([key, value]) => ({ key, rawValue: Buffer.from(value, "latin1") })),
          },
        }
      : { headers: joined }),
    ...(body !== undefined && (packsBody ? { rawBody: body } : { body: utf8(body.toString("latin1")) })),
  };
}

type PeerFields = Pick<AttributeContext_Peer, "principal"> & { readonly address?: object };

/** Preferably the URI of the certificate, else its DNS name, else its subject. */
function peer(address: SocketAddress | undefined, certificate: PeerCertificate | undefined): PeerFields {
  const principal =
    certificate === undefined ? "" : (certificate.uriSans[0] ?? certificate.dnsSans[0] ?? certificate.subject);
  return { principal, ...(address !== undefined && { address: addressOf(address) }) };
}

function addressOf(address: SocketAddress): object {
  if (address.kind === "internal") return {};
  if (address.kind === "pipe") return { address: { case: "pipe", value: { path: address.path } } };
  const portSpecifier = { case: "portValue", value: address.port };
  return { address: { case: "socketAddress", value: { address: address.address, portSpecifier } } };
}

/** As in `x-forwarded-client-cert`. */
function urlEncodedPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return encodeURIComponent(`-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`);
}
