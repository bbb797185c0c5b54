/** `layered_runtime`: shown by the admin interface; no default of a message is overridden from it. */
import type { LayeredRuntime } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import type { RuntimeLayerModel } from "./model.ts";

/**
 * Keys that switch features of Envoy's own build; nothing here depends on them. Any other key is reported as a warning,
 * because a value that a user relies on has no effect. Differs from Envoy.
 */
const buildKeys = /^(?:envoy\.|re2\.|overload\.|deprecated_features|feature\.)/;

export function parseRuntimeLayers(reader: MessageReader<LayeredRuntime>): readonly RuntimeLayerModel[] {
  const layers: RuntimeLayerModel[] = [];
  for (const layer of reader.children("layers")) {
    const name = layer.get("name");
    const specifier = layer.get("layerSpecifier");
    if (specifier.case === "staticLayer") {
      layers.push({ kind: "static", name, values: specifier.value });
      for (const key of Object.keys(specifier.value)) {
        if (buildKeys.test(key)) continue;
        reader.problems.push({
          code: "no-effect",
          level: "warning",
          path: `${layer.at("layerSpecifier")}[${key}]`,
          message: `the runtime key ${key} has no effect in this proxy; set the value in the field that it overrides`,
        });
      }
    } else if (specifier.case === "adminLayer") {
      layers.push({ kind: "admin", name });
    } else if (specifier.case !== undefined) {
      layer.unsupported("layerSpecifier");
    }
    layer.finish();
  }
  reader.finish();
  return layers;
}
