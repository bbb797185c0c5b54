/** RANDOM: any host of the list, whatever its weight (L-19). */
import type { PickerContext, PickerFactory } from "./host-picker.ts";

export interface RandomConfig {
  readonly kind: "random";
}

export function random({ random: chance }: PickerContext): PickerFactory {
  return (hosts) => ({ pick: () => hosts[chance.uint32() % hosts.length] });
}
