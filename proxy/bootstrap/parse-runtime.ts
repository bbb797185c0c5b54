/** `layered_runtime`: values that override the defaults of messages that name a runtime key. */
import type { LayeredRuntime, RuntimeLayer_RtdsLayer } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { RuntimeLayerModel } from "./model.ts";

/**
 * Keys with names of their own that Envoy reads and this proxy does not: each is reported as a warning, because a value
 * that a user relies on has no effect. Differs from Envoy.
 */
const withoutEffect =
  /^(?:upstream|outlier_detection|circuit_breakers|health_check|tracing|conn_pool|redis|mongo|thrift|dns|admission_control)\./;

export function parseRuntimeLayers(reader: MessageReader<LayeredRuntime>): readonly RuntimeLayerModel[] {
  const layers: RuntimeLayerModel[] = [];
  for (const layer of reader.children("layers")) {
    const name = layer.get("name");
    const specifier = layer.get("layerSpecifier");
    const at = layer.at("layerSpecifier");
    if (layers.some((other) => other.name === name)) layer.invalid("name", `Duplicate layer name: ${name}`);
    if (specifier.case === "staticLayer") {
      layers.push({ kind: "static", name, values: specifier.value });
      for (const key of Object.keys(specifier.value)) {
        if (!withoutEffect.test(key)) continue;
        reader.problems.push({
          code: "no-effect",
          level: "warning",
          path: `${at}[${key}]`,
          message: `the runtime key ${key} has no effect in this proxy; set the value in the field that it overrides`,
        });
      }
    } else if (specifier.case === "adminLayer") {
      if (layers.some(({ kind }) => kind === "admin"))
        layer.invalid(
          "layerSpecifier",
          "Too many admin layers specified in LayeredRuntime, at most one may be specified",
        );
      layers.push({ kind: "admin", name });
    } else if (specifier.case === "rtdsLayer") {
      const rtds = new MessageReader<RuntimeLayer_RtdsLayer>(specifier.value, at, reader.problems);
      const resourceName = rtds.get("name");
      const source = rtds.get("rtdsConfig");
      rtds.finish();
      if (source === undefined) rtds.invalid("rtdsConfig", "is required: where the layer comes from");
      else layers.push({ kind: "rtds", name, resourceName, source });
    } else if (specifier.case !== undefined) {
      layer.unsupported("layerSpecifier");
    }
    layer.finish();
  }
  reader.finish();
  return layers;
}
