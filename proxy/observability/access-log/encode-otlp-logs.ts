/** Log records as an OTLP `ExportLogsServiceRequest`. Loaded when the first entry is sent. */
import { toBinary } from "@bufbuild/protobuf";
import { createMessage, schema } from "#protos/registry.ts";
import type { ExportLogsServiceRequest } from "#protos/gen/opentelemetry/proto/collector/logs/v1/logs_service_pb.js";
import type { AnyValue } from "#protos/gen/opentelemetry/proto/common/v1/common_pb.js";
import { grpcBatch, type EncodedBatch } from "../collector.ts";
import type { LogRecord, LogValue } from "./open-telemetry-log.ts";

const REQUEST = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest";

type Labels = readonly (readonly [string, LogValue])[];

/** As the body of an HTTP request. */
export function encodeLogsHttp(records: readonly LogRecord[], resource: Labels): EncodedBatch {
  return { contentType: "application/x-protobuf", body: Buffer.from(requestBytes(records, resource)) };
}

/** As one message of a gRPC call. */
export function encodeLogsGrpc(records: readonly LogRecord[], resource: Labels): EncodedBatch {
  return grpcBatch(requestBytes(records, resource));
}

function requestBytes(records: readonly LogRecord[], resource: Labels): Uint8Array {
  const request = createMessage<ExportLogsServiceRequest>(REQUEST, {
    resourceLogs: [
      {
        resource: { attributes: resource.map(keyValue) },
        scopeLogs: [
          {
            logRecords: records.map(({ timeMs, traceId, body, attributes }) => ({
              timeUnixNano: BigInt(Math.round(timeMs * 1000)) * 1000n,
              traceId: Buffer.from(traceId, "hex"),
              ...(body === undefined ? {} : { body: anyValue(body) }),
              attributes: attributes.map(keyValue),
            })),
          },
        ],
      },
    ],
  });
  return toBinary(schema<ExportLogsServiceRequest>(REQUEST), request);
}

function keyValue([key, value]: readonly [string, LogValue]) {
  return { key, value: anyValue(value) };
}

function anyValue(value: LogValue): AnyValue {
  const made = createMessage<AnyValue>("opentelemetry.proto.common.v1.AnyValue");
  made.value = oneofOf(value);
  return made;
}

function oneofOf(value: LogValue): AnyValue["value"] {
  switch (typeof value) {
    case "string":
      // Texts hold one byte a character: what is no UTF-8 becomes a replacement character.
      return { case: "stringValue", value: Buffer.from(value, "latin1").toString("utf8") };
    case "number":
      return { case: "doubleValue", value };
    case "bigint":
      return { case: "intValue", value };
    case "boolean":
      return { case: "boolValue", value };
    default:
      break;
  }
  if (value instanceof Uint8Array) return { case: "bytesValue", value };
  if ("list" in value) {
    const list = createMessage<Extract<AnyValue["value"], { case: "arrayValue" }>["value"]>(
      "opentelemetry.proto.common.v1.ArrayValue",
    );
    list.values = value.list.map(anyValue);
    return { case: "arrayValue", value: list };
  }
  const map = createMessage<Extract<AnyValue["value"], { case: "kvlistValue" }>["value"]>(
    "opentelemetry.proto.common.v1.KeyValueList",
    {
      values: value.map.map(keyValue),
    },
  );
  return { case: "kvlistValue", value: map };
}
