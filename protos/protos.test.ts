import { fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import { AnySchema, type Any } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import type { Problem } from "#lib/problem.ts";
import { addedFields, addedValues } from "./added-fields.mjs";
import { openAny, unpackAny } from "./any.ts";
import type { Cluster } from "./gen/envoy/config/cluster/v3/cluster_pb.js";
import type { RouteAction } from "./gen/envoy/config/route/v3/route_components_pb.js";
import { messageFromJson, messageToJson } from "./json.ts";
import { MessageReader } from "./reader.ts";
import { createMessage, registry, schema } from "./registry.ts";
import { unknownFields } from "./unknown.ts";

const CLUSTER = "envoy.config.cluster.v3.Cluster";
const secretType = "envoy.extensions.transport_sockets.tls.v3.Secret";

function read<T extends Message>(typeName: T["$typeName"], json: unknown): T {
  const { value, problems } = messageFromJson(typeName, json);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  return value as T;
}

describe("registry", () => {
  test("all types can be built, each is one", () => {
    const names = new Set<string>();
    for (const type of registry()) {
      expect(names.has(type.typeName)).toBe(false);
      names.add(type.typeName);
    }
    expect(names.size).toBeGreaterThan(1500);
    const cluster = registry().getMessage(CLUSTER);
    expect(cluster).toBe(schema<Cluster>(CLUSTER));
    const field = registry().getMessage("envoy.admin.v3.ClustersConfigDump.StaticCluster");
    expect(field).toBeDefined();
    const assignment = cluster?.field["loadAssignment"]?.message;
    expect(assignment).toBe(registry().getMessage("envoy.config.endpoint.v3.ClusterLoadAssignment"));
  });

  test("every added field and value is there under its name and number", () => {
    for (const [message, fields] of Object.entries(addedFields)) {
      for (const [name, [number]] of Object.entries(fields)) {
        expect(
          registry()
            .getMessage(message)
            ?.fields.find((field) => field.name === name)?.number,
        ).toBe(number);
      }
    }
    for (const [name, values] of Object.entries(addedValues)) {
      for (const [value, number] of Object.entries(values)) {
        expect(registry().getEnum(name)?.value[number]?.name).toBe(value);
      }
    }
  });

  test("there is nothing under another name", () => {
    expect(registry().getMessage("envoy.config.cluster.v3.Clutser")).toBeUndefined();
  });
});

describe("proto3 JSON", () => {
  const json = {
    name: "a",
    connect_timeout: "1.500s",
    per_connection_buffer_limit_bytes: 32768,
    lb_policy: "LEAST_REQUEST",
    dns_jitter: "0.100s",
    metadata: { filter_metadata: { istio: { services: [{ host: "a" }], n: 1, t: true, z: null } } },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 5 } },
      },
    },
  };

  test("is read in snake_case and camelCase alike, and written in both", () => {
    const message = read<Cluster>(CLUSTER, json);
    expect(messageToJson(message, { snakeCase: true })).toEqual(json);
    const camel = messageToJson(message);
    expect(camel).toMatchObject({ connectTimeout: "1.500s", lbPolicy: "LEAST_REQUEST" });
    expect(read<Cluster>(CLUSTER, camel)).toEqual(message);
  });

  test("unknown keys are all named, also inside lists, maps and Any; keys of a Struct are free", () => {
    const { problems } = messageFromJson(CLUSTER, {
      nme: 1,
      health_checks: [{ timout: 1 }],
      metadata: { filterMetadata: { x: { free: 1 } } },
      typed_extension_protocol_options: {
        x: { "@type": `type.googleapis.com/${CLUSTER}`, oops: 1 },
        y: { "@type": "type.googleapis.com/no.such.Type" },
        z: { a: 1 },
      },
    });
    expect(problems.map(({ code, path }) => `${code} ${path}`)).toEqual([
      "unknown-field nme",
      "unknown-field health_checks[0].timout",
      "unknown-field typed_extension_protocol_options[x].oops",
      "unknown-type typed_extension_protocol_options[y]",
      "invalid-value typed_extension_protocol_options[z]",
    ]);
    expect(problems[0]?.message).toBe(`unknown field nme: ${CLUSTER} has no field of this name`);
  });

  test.each([
    [{ lb_policy: "BEST" }, "lb_policy"],
    [{ health_checks: [{ timeout: "1s" }, { timeout: "soon" }] }, "health_checks[1].timeout"],
    [{ metadata: { filter_metadata: { x: 1 } } }, "metadata.filter_metadata[x]"],
    [
      { typed_extension_protocol_options: { x: { "@type": `type.googleapis.com/${CLUSTER}`, name: 1 } } },
      "typed_extension_protocol_options[x].name",
    ],
  ])("a value that does not fit is named by its place: %j", (value, path) => {
    expect(messageFromJson(CLUSTER, value).problems).toMatchObject([{ code: "invalid-value", path }]);
  });

  test("both members of a oneof are refused", () => {
    const { problems } = messageFromJson("envoy.config.route.v3.RouteMatch", { prefix: "/", path: "/" });
    expect(problems).toMatchObject([{ code: "invalid-value" }]);
  });
});

describe("secrets in JSON", () => {
  test("private keys and passwords are masked, certificates stay; also inside an Any", () => {
    const secret = {
      name: "default",
      tls_certificate: {
        certificate_chain: { inline_string: "CERT" },
        private_key: { inline_bytes: Buffer.from("KEY").toString("base64") },
        password: { inline_string: "PASSWORD" },
      },
    };
    const message = read("envoy.admin.v3.SecretsConfigDump" as never, {
      static_secrets: [{ name: "default", secret: { "@type": `type.googleapis.com/${secretType}`, ...secret } }],
    });
    const shown = JSON.stringify(messageToJson(message, { snakeCase: true, redact: true }));
    expect(shown).toContain("CERT");
    expect(shown).toContain('"private_key":{"inline_bytes":"W3JlZGFjdGVkXQ=="}');
    expect(shown).toContain('"password":{"inline_string":"[redacted]"}');
    expect(JSON.stringify(messageToJson(message))).toContain("PASSWORD");
  });
});

function anyOf(typeName: string, value: Uint8Array): Any {
  return { $typeName: "google.protobuf.Any", typeUrl: `type.googleapis.com/${typeName}`, value };
}

describe("Any", () => {
  test("a TypedStruct becomes the message that it describes", () => {
    const struct = read("udpa.type.v1.TypedStruct" as never, {
      type_url: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
      value: { protocol: "istio-peer-exchange", enable_discovery: true },
    });
    const any = anyOf("udpa.type.v1.TypedStruct", toBinary(schema("udpa.type.v1.TypedStruct" as never), struct));
    expect(unpackAny(any, "x").value).toMatchObject({
      $typeName: "envoy.tcp.metadataexchange.config.MetadataExchange",
      enableDiscovery: true,
    });
    expect(openAny(any, "x").value?.$typeName).toBe("udpa.type.v1.TypedStruct");
  });

  test("a TypedStruct with a field that its message does not have is refused; of an unknown type it stays", () => {
    const open = (typeUrl: string): ReturnType<typeof unpackAny> => {
      const struct = read("udpa.type.v1.TypedStruct" as never, { type_url: typeUrl, value: { oops: 1 } });
      return unpackAny(
        anyOf("udpa.type.v1.TypedStruct", toBinary(schema("udpa.type.v1.TypedStruct" as never), struct)),
        "x",
      );
    };
    expect(open("type.googleapis.com/stats.PluginConfig").problems).toMatchObject([
      { code: "unknown-field", path: "x.oops" },
    ]);
    expect(open("type.googleapis.com/no.such.Type").value?.$typeName).toBe("udpa.type.v1.TypedStruct");
  });

  test("an unknown type and broken bytes are problems", () => {
    expect(unpackAny(anyOf("no.such.Type", Buffer.alloc(0)), "x").problems).toMatchObject([{ code: "unknown-type" }]);
    expect(unpackAny(anyOf(CLUSTER, Buffer.from([0xff])), "x").problems).toMatchObject([{ code: "invalid-value" }]);
  });
});

describe("what the wire has and the .proto files have not", () => {
  /** Field 4000, a varint. */
  const stranger = Buffer.from([0x80, 0xfa, 0x01, 0x01]);

  test("is found by number, also in submessages and through Any", () => {
    const cluster = createMessage<Cluster>(CLUSTER, { name: "a" });
    const inner = anyOf(CLUSTER, Buffer.concat([toBinary(schema<Cluster>(CLUSTER), cluster), stranger]));
    const outer = createMessage<Cluster>(CLUSTER, { name: "b", typedExtensionProtocolOptions: { x: inner } });
    const bytes = Buffer.concat([toBinary(schema<Cluster>(CLUSTER), outer), stranger]);
    const found = unknownFields(fromBinary(schema<Cluster>(CLUSTER), bytes));
    expect(found.map(({ path }) => path)).toEqual(["#4000", "typed_extension_protocol_options[x].#4000"]);
    expect(found[0]?.message).toContain(`${CLUSTER} has no field 4000`);
  });

  test("an enum value that is not declared is found", () => {
    const cluster = createMessage<Cluster>(CLUSTER, { name: "a" });
    Object.assign(cluster, { lbPolicy: 77 });
    expect(unknownFields(cluster)).toMatchObject([{ code: "unknown-field", path: "lb_policy" }]);
  });

  test("an Any of an unknown type is found", () => {
    const any = anyOf("no.such.Type", Buffer.alloc(0));
    expect(unknownFields(any)).toMatchObject([{ code: "unknown-type" }]);
    expect(AnySchema.typeName).toBe(any.$typeName);
  });
});

describe("MessageReader", () => {
  function readerOf(json: object, problems: Problem[] = []): MessageReader<RouteAction> {
    return new MessageReader(read<RouteAction>("envoy.config.route.v3.RouteAction", json), "routes[0].route", problems);
  }

  test("a field that is set and not read is refused by name, one that is not set is not", () => {
    const problems: Problem[] = [];
    const reader = readerOf({ cluster: "a", timeout: "1s", retry_policy: {}, auto_host_rewrite: true }, problems);
    expect(reader.get("clusterSpecifier")).toMatchObject({ case: "cluster", value: "a" });
    reader.get("timeout");
    reader.ignore("retryPolicy", "for the test");
    reader.finish();
    expect(problems).toMatchObject([
      { code: "unsupported-field", level: "error", path: "routes[0].route.auto_host_rewrite" },
    ]);
    expect(problems[0]?.message).toContain("envoy.config.route.v3.RouteAction.auto_host_rewrite is not supported");
  });

  test("zero values and empty lists are not set; an explicit zero in a wrapper is", () => {
    const problems: Problem[] = [];
    readerOf({ prefix_rewrite: "", hash_policy: [] }, problems).finish();
    expect(problems).toEqual([]);
    readerOf({ include_vh_rate_limits: false }, problems).finish();
    expect(problems).toMatchObject([{ path: "routes[0].route.include_vh_rate_limits" }]);
  });

  test("paths are those of the .proto files, of a oneof that of the field that is set", () => {
    const reader = readerOf({ cluster_header: "x" });
    expect(reader.at("prefixRewrite")).toBe("routes[0].route.prefix_rewrite");
    expect(reader.at("clusterSpecifier")).toBe("routes[0].route.cluster_header");
  });

  test("submessages have readers with their own paths and the same list of problems", () => {
    const problems: Problem[] = [];
    const reader = readerOf({ retry_policy: { retry_on: "5xx" }, hash_policy: [{ terminal: true }] }, problems);
    reader.child("retryPolicy")?.finish();
    for (const policy of reader.children("hashPolicy")) policy.finish();
    expect(reader.child("maxStreamDuration")).toBeUndefined();
    reader.finish();
    expect(problems.map(({ path }) => path)).toEqual([
      "routes[0].route.retry_policy.retry_on",
      "routes[0].route.hash_policy[0].terminal",
    ]);
  });
});
