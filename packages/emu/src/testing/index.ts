export {
  DEVICE_TAGS,
  deviceBehaviours,
  FAULT_TAGS,
  type FaultPlanOptions,
  faultPlans,
  tapes,
} from './arbitraries.ts';
export { type ScenarioPropertyOptions, scenarioProperty } from './property.ts';
