/** Message → field → number, type, oneof. */
export declare const addedFields: Readonly<
  Record<string, Readonly<Record<string, readonly [number: number, type: string, oneof?: string]>>>
>;
/** Enum → value → number. */
export declare const addedValues: Readonly<Record<string, Readonly<Record<string, number>>>>;
/** `message.field` → `(validate.rules)`; undefined: none. */
export declare const changedRules: Readonly<Record<string, object | undefined>>;
