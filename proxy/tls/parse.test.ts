/** What transport sockets refuse, by name, and what they take. */
import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { createStatsStore } from "../observability/stats-store.ts";
import { testAuthority } from "./node-test-identities.ts";
import { createTransportFactory } from "./transport-factory.ts";

const ca = testAuthority();
const own = ca.workload("spiffe://cluster.local/ns/a/sa/b");
const pair = { certificateChain: { inlineString: own.certificateChain }, privateKey: { inlineString: own.privateKey } };
const trust = { trustedCa: { inlineString: ca.rootPem } };
const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

const spiffe = (trustDomains: readonly unknown[]) => ({
  name: "envoy.tls.cert_validator.spiffe",
  typedConfig: { "@type": `${TLS}.SPIFFECertValidatorConfig`, trustDomains },
});

const factory = createTransportFactory({
  runtime: simulatedRuntime(),
  secrets: { subscribe: () => ({ close() {} }) },
  scope: createStatsStore().root,
});

function socket(typedConfig: Record<string, unknown>): TransportSocket {
  const { value, problems } = messageFromJson("envoy.config.core.v3.TransportSocket", { name: "tls", typedConfig });
  expect(problems).toEqual([]);
  return value as TransportSocket;
}

const upstream = (json: Record<string, unknown>) =>
  factory.upstream(socket({ "@type": `${TLS}.UpstreamTlsContext`, ...json }), "transport_socket").problems;
const downstream = (json: Record<string, unknown>) =>
  factory.downstream(socket({ "@type": `${TLS}.DownstreamTlsContext`, ...json }), "transport_socket").problems;
const upstreamCommon = (common: Record<string, unknown>) =>
  upstream({ commonTlsContext: { validationContext: trust, ...common } });
const upstreamTrust = (context: Record<string, unknown>) =>
  upstreamCommon({ validationContext: { ...trust, ...context } });
const downstreamWith = (json: Record<string, unknown>) =>
  downstream({ commonTlsContext: { tlsCertificates: [pair] }, ...json });

describe("UpstreamTlsContext", () => {
  test("a SPIFFE validator is enough", () => {
    const trustDomains = [{ name: "a.test", trustBundle: { inlineString: ca.rootPem } }];
    expect(upstreamCommon({ validationContext: { customValidatorConfig: spiffe(trustDomains) } })).toEqual([]);
    const twice = [...trustDomains, ...trustDomains];
    expect(upstreamCommon({ validationContext: { customValidatorConfig: spiffe(twice) } })).toMatchObject([
      { message: expect.stringContaining("Multiple trust bundles are given for one trust domain") },
    ]);
  });

  test("a CA is enough", () => {
    expect(upstreamCommon({})).toEqual([]);
  });

  test("every way of naming whom to trust is taken", () => {
    expect(upstreamTrust({ matchSubjectAltNames: [{ exact: "a" }, { safeRegex: { regex: "a.*" } }] })).toEqual([]);
    expect(
      upstreamTrust({
        matchTypedSubjectAltNames: [
          { sanType: "DNS", matcher: { suffix: ".test" } },
          { sanType: "URI", matcher: { prefix: "spiffe://a/" } },
          { sanType: "IP_ADDRESS", matcher: { exact: "1.2.3.4" } },
          { sanType: "EMAIL", matcher: { contains: "@" } },
        ],
      }),
    ).toEqual([]);
    expect(upstreamTrust({ verifyCertificateHash: [Array.from({ length: 32 }, () => "AB").join(":")] })).toEqual([]);
    expect(upstreamTrust({ verifyCertificateSpki: [Buffer.alloc(32).toString("base64")] })).toEqual([]);
    expect(upstreamCommon({ validationContext: { systemRootCerts: {} } })).toEqual([]);
  });

  test.each<[string, Record<string, unknown>]>([
    ["no context at all", {}],
    ["an empty validation context", { commonTlsContext: { validationContext: {} } }],
    [
      "ACCEPT_UNTRUSTED",
      { commonTlsContext: { validationContext: { ...trust, trustChainVerification: "ACCEPT_UNTRUSTED" } } },
    ],
  ])("an upstream that nobody verifies is taken with a warning: %s", (_, json) => {
    expect(upstream(json)).toMatchObject([
      { code: "unverified-upstream", level: "warning", path: "transport_socket.typed_config.common_tls_context" },
    ]);
  });

  test("names without a CA are refused: anybody can write them into a certificate", () => {
    const json = { commonTlsContext: { validationContext: { matchSubjectAltNames: [{ exact: "a" }] } } };
    expect(upstream(json)[0]).toMatchObject({ level: "error", message: /SAN-based verification .* not allowed/ });
  });

  test.each<[string, readonly unknown[], string, RegExp]>([
    [
      "renegotiation",
      upstream({ commonTlsContext: { validationContext: trust }, allowRenegotiation: true }),
      "allow_renegotiation",
      /renegotiation/,
    ],
    [
      "an expired certificate that is to be accepted",
      upstreamTrust({ allowExpiredCertificate: true }),
      "common_tls_context.validation_context.allow_expired_certificate",
      /expiry/,
    ],
    [
      "a limit of depth",
      upstreamTrust({ maxVerifyDepth: 3 }),
      "common_tls_context.validation_context.max_verify_depth",
      /not supported/,
    ],
    [
      "a custom validator",
      upstreamTrust({
        customValidatorConfig: { name: "x", typedConfig: { "@type": "type.googleapis.com/google.protobuf.Empty" } },
      }),
      "common_tls_context.validation_context.custom_validator_config",
      /not supported/,
    ],
    [
      "a SPIFFE validator with a trust bundle that is none",
      upstreamTrust({ customValidatorConfig: spiffe([{ name: "a.test", trustBundle: { inlineString: "x" } }]) }),
      "common_tls_context.validation_context.custom_validator_config.typed_config.trust_domains[0].trust_bundle",
      /Failed to load trusted CA certificate for a\.test/,
    ],
    [
      "a SPIFFE validator with a trust domain that is none",
      upstreamTrust({
        customValidatorConfig: spiffe([{ name: "A b", trustBundle: { inlineString: testAuthority().rootPem } }]),
      }),
      "common_tls_context.validation_context.custom_validator_config.typed_config.trust_domains[0].name",
      /./,
    ],
    [
      "a SPIFFE validator with a trust domain without roots",
      upstreamTrust({ customValidatorConfig: spiffe([{ name: "a.test" }]) }),
      "common_tls_context.validation_context.custom_validator_config.typed_config.trust_domains[0].trust_bundle",
      /needs its trust bundle/,
    ],
    [
      "a hash that is none",
      upstreamTrust({ verifyCertificateHash: ["abc"] }),
      "common_tls_context.validation_context.verify_certificate_hash",
      /Invalid hex-encoded SHA-256/,
    ],
    [
      "a matcher without type",
      upstreamTrust({ matchTypedSubjectAltNames: [{ matcher: { exact: "a" } }] }),
      "common_tls_context.validation_context.match_typed_subject_alt_names[0].san_type",
      /san_type/,
    ],
    [
      "a regular expression that RE2 refuses",
      upstreamTrust({ matchSubjectAltNames: [{ safeRegex: { regex: "(?=a)" } }] }),
      "common_tls_context.validation_context.match_subject_alt_names[0].safe_regex.regex",
      /RE2/,
    ],
    [
      "a cipher that Envoy does not know",
      upstreamCommon({ tlsParams: { cipherSuites: ["RC4-MD5"] } }),
      "common_tls_context.tls_params.cipher_suites",
      /RC4-MD5/,
    ],
    [
      "a curve that Envoy does not know",
      upstreamCommon({ tlsParams: { ecdhCurves: ["P-1"] } }),
      "common_tls_context.tls_params.ecdh_curves",
      /P-1/,
    ],
    [
      "versions upside down",
      upstreamCommon({ tlsParams: { tlsMinimumProtocolVersion: "TLSv1_3", tlsMaximumProtocolVersion: "TLSv1_2" } }),
      "common_tls_context.tls_params.tls_minimum_protocol_version",
      /above/,
    ],
    [
      "a file that is not there",
      upstreamTrust({ crl: { filename: "/does/not/exist.pem" } }),
      "common_tls_context",
      /\/does\/not\/exist\.pem/,
    ],
    [
      "a variable that is not set",
      upstreamTrust({ crl: { environmentVariable: "GLASSMESH_NOT_SET" } }),
      "common_tls_context.validation_context.crl.environment_variable",
      /GLASSMESH_NOT_SET/,
    ],
    ["a key log", upstreamCommon({ keyLog: { path: "/tmp/keys" } }), "common_tls_context.key_log", /not supported/],
    [
      "a CA that is none",
      upstreamCommon({ validationContext: { trustedCa: { inlineString: "no PEM" } } }),
      "common_tls_context",
      /Failed to load/,
    ],
  ])("refuses %s", (_, problems, path, message) => {
    expect(problems).toMatchObject([{ level: "error", path: `transport_socket.typed_config.${path}`, message }]);
  });
});

describe("DownstreamTlsContext", () => {
  test("a certificate is enough; every field of istiod's is taken", () => {
    expect(downstreamWith({})).toEqual([]);
    expect(
      downstream({
        requireClientCertificate: true,
        commonTlsContext: {
          alpnProtocols: ["h2", "http/1.1"],
          combinedValidationContext: {
            defaultValidationContext: { matchSubjectAltNames: [{ prefix: "spiffe://cluster.local/" }] },
            validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: { ads: {}, resourceApiVersion: "V3" } },
          },
          tlsParams: {
            tlsMinimumProtocolVersion: "TLSv1_2",
            tlsMaximumProtocolVersion: "TLSv1_3",
            cipherSuites: ["ECDHE-ECDSA-AES256-GCM-SHA384", "[AES128-GCM-SHA256|AES256-GCM-SHA384]"],
          },
          tlsCertificateSdsSecretConfigs: [
            {
              name: "default",
              sdsConfig: {
                apiConfigSource: {
                  apiType: "GRPC",
                  transportApiVersion: "V3",
                  setNodeOnFirstMessageOnly: true,
                  grpcServices: [{ envoyGrpc: { clusterName: "sds-grpc" } }],
                },
                initialFetchTimeout: "0s",
                resourceApiVersion: "V3",
              },
            },
          ],
        },
      }),
    ).toEqual([]);
  });

  test.each<[string, readonly unknown[], string, RegExp]>([
    [
      "no certificate",
      downstream({ commonTlsContext: {} }),
      "common_tls_context",
      /No TLS certificates found for server context/,
    ],
    [
      "a key that is not the certificate's",
      downstream({
        commonTlsContext: {
          tlsCertificates: [
            { ...pair, privateKey: { inlineString: ca.workload("spiffe://cluster.local/x").privateKey } },
          ],
        },
      }),
      "common_tls_context",
      /Failed to load certificates/,
    ],
    [
      "a certificate without key",
      downstream({ commonTlsContext: { tlsCertificates: [{ certificateChain: pair.certificateChain }] } }),
      "common_tls_context.tls_certificates[0].private_key",
      /private key/,
    ],
    [
      "a required certificate that nobody verifies",
      downstreamWith({ requireClientCertificate: true }),
      "require_client_certificate",
      /verifies/,
    ],
    [
      "session ticket keys",
      downstreamWith({ sessionTicketKeys: { keys: [{ inlineString: "x" }] } }),
      "session_ticket_keys",
      /own/,
    ],
    ["must-staple", downstreamWith({ ocspStaplePolicy: "MUST_STAPLE" }), "ocsp_staple_policy", /not supported/],
    [
      "names without a CA",
      downstream({
        commonTlsContext: { tlsCertificates: [pair], validationContext: { matchSubjectAltNames: [{ exact: "a" }] } },
      }),
      "common_tls_context",
      /SAN-based verification of peer certificates without trusted CA is insecure and not allowed/,
    ],
    [
      "a list of CAs that is to be hidden",
      downstream({
        commonTlsContext: { tlsCertificates: [pair], validationContext: { ...trust, suppressClientCaList: true } },
      }),
      "common_tls_context.validation_context.suppress_client_ca_list",
      /list/,
    ],
    [
      "SDS over REST",
      downstream({
        commonTlsContext: {
          tlsCertificateSdsSecretConfigs: [
            {
              name: "a",
              sdsConfig: { apiConfigSource: { apiType: "REST", clusterNames: ["c"], transportApiVersion: "V3" } },
            },
          ],
        },
      }),
      "common_tls_context.tls_certificate_sds_secret_configs[0].sds_config.api_config_source.api_type",
      /GRPC/,
    ],
  ])("refuses %s", (_, problems, path, message) => {
    expect(problems[0]).toMatchObject({ level: "error", path: `transport_socket.typed_config.${path}`, message });
  });
});

describe("transport sockets", () => {
  test("raw_buffer and nothing are raw bytes", () => {
    const raw = socket({ "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" });
    expect(factory.upstream(raw, "").value?.isSecure).toBe(false);
    expect(factory.downstream(raw, "").value?.isSecure).toBe(false);
    expect(factory.upstream(undefined, "").value?.isSecure).toBe(false);
    expect(factory.downstream(undefined, "").value?.isSecure).toBe(false);
  });

  test("others are refused by name, as is the context of the other side", () => {
    const tap = socket({
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.starttls.v3.UpstreamStartTlsConfig",
      tlsSocketConfig: {},
    });
    expect(factory.upstream(tap, "t").problems).toMatchObject([
      { code: "unsupported-field", path: "t.typed_config", message: /UpstreamStartTlsConfig/ },
    ]);
    const wrongSide = socket({ "@type": `${TLS}.UpstreamTlsContext` });
    expect(factory.downstream(wrongSide, "t").problems).toMatchObject([{ message: /UpstreamTlsContext/ }]);
  });
});
