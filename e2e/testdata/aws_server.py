#!/usr/bin/env python3
"""moto's server with what it lacks of images and of launch templates, as far as the tests need it: tags of snapshots,
versions that are made of others, the default version, and groups with instances of several kinds."""

from moto import server
from moto.autoscaling.responses import AutoScalingResponse
from moto.ec2.models.amis import AmiBackend
from moto.ec2.responses.launch_templates import LaunchTemplates, pretty_xml, xml_root, xml_serialize

make_image = AmiBackend.create_image
update_group = AutoScalingResponse.update_auto_scaling_group


def create_image(self, instance_id, name, description, tag_specifications):
    of = {s["ResourceType"]: s for s in tag_specifications}
    image = make_image(self, instance_id, name, description, [of["image"]])
    for tag in of["snapshot"]["Tag"]:
        image.ebs_snapshot.add_tag(tag["Key"], tag["Value"])
    return image


def create_launch_template_version(self):
    template = self.ec2_backend.get_launch_template(self._get_param("LaunchTemplateId"))
    data = dict(template.get_version(self._get_param("SourceVersion")).data)
    data.update(self._get_multi_param_dict("LaunchTemplateData"))
    version = template.create_version(data, self._get_param("VersionDescription"))
    tree = xml_root("CreateLaunchTemplateVersionResponse")
    xml_serialize(tree, "launchTemplateVersion", {"launchTemplateId": template.id, "versionNumber": version.number})
    return pretty_xml(tree)


def modify_launch_template(self):
    template = self.ec2_backend.get_launch_template(self._get_param("LaunchTemplateId"))
    template.default_version_number = template.get_version(self._get_param("SetDefaultVersion")).number
    tree = xml_root("ModifyLaunchTemplateResponse")
    xml_serialize(tree, "launchTemplate", {"launchTemplateId": template.id})
    return pretty_xml(tree)


def update_auto_scaling_group(self):
    answer = update_group(self)
    policy = self._get_params().get("MixedInstancesPolicy")
    if policy:
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        group._set_launch_configuration("", {}, policy)
        group.mixed_instances_policy = policy
    return answer


AmiBackend.create_image = create_image
LaunchTemplates.create_launch_template_version = create_launch_template_version
LaunchTemplates.modify_launch_template = modify_launch_template
AutoScalingResponse.update_auto_scaling_group = update_auto_scaling_group

server.main()
