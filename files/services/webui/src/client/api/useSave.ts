import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useOnce } from "../components/form";

/**
 * Saves once, however often it is pressed; what is listed is read again, even after a refusal, as somebody else may have been
 * first.
 *
 * @param stale The first words of the keys of what the change is seen in.
 */
export function useSave<T, R>(save: (value: T) => Promise<R>, stale: readonly string[], onDone: () => void = () => undefined) {
  const client = useQueryClient();
  const once = useOnce();
  const mutation = useMutation({
    mutationFn: save,
    onSuccess: onDone,
    onSettled: () => Promise.all(stale.map((key) => client.invalidateQueries({ queryKey: [key] }))),
  });
  return { ...mutation, mutate: (value: T) => once(() => mutation.mutateAsync(value)) };
}
